// Starts the page with an engine that runs in the browser.

import { start } from "../../src/audioinceptionnext/page/app.js";
import { BrowserEngine } from "./engine.js";

start(new BrowserEngine());
