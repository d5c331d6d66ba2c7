// Starts the page that a server provides.
import { start } from "./app.js";
import { ServerEngine } from "./server.js";

start(new ServerEngine());
