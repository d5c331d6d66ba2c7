// The page without a server: the same page, with an engine in this browser.

import { start } from "../../src/audioinceptionnext/page/app.js";
import { BrowserEngine } from "./engine.js";

start(new BrowserEngine());
