// The page as a server gives it.
import { start } from "./app.js";
import { ServerEngine } from "./server.js";

start(new ServerEngine());
