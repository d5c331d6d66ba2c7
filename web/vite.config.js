import { readFileSync, writeFileSync } from "node:fs";
import { defineConfig } from "vite";
import { shippedModels } from "./scripts/models.js";
import { namesOf } from "./scripts/names.js";

const PAGE = "../src/audioinceptionnext/page";
const here = (path) => new URL(path, import.meta.url);

/** Writes index.html: the server's page with the engine of this folder, so that there is one page to maintain. */
function writePage() {
  const page = readFileSync(here(`${PAGE}/index.html`), "utf8");
  const changed = page.replace('"./main.js"', '"./src/main.js"').replace(/(src|href)="\.\/(?!src\/)/g, `$1="${PAGE}/`);
  writeFileSync(here("index.html"), changed);
}

/** Adds models.json, the models that it lists, and the names of their labels, to the build and to the development server. */
function models() {
  const shipped = shippedModels();
  const entries = shipped.map(({ entry }) => entry);
  const files = new Map([...shipped.map(({ path, content }) => [path, content]), ...namesOf(entries)]);
  files.set("models.json", JSON.stringify(entries));
  return {
    name: "models",
    generateBundle() {
      for (const [fileName, source] of files) this.emitFile({ type: "asset", fileName, source });
    },
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const content = files.get(request.url.slice(1));
        if (content) response.end(content);
        else next();
      });
    },
  };
}

// Some hosts do not serve .mjs as JavaScript, and browsers refuse it then.
const assetFileNames = ({ names }) =>
  names[0]?.endsWith(".mjs") ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]";

writePage();
export default defineConfig({
  base: "./", // works in any folder of any host
  plugins: [models()],
  // This build of onnxruntime-web loads its wasm from a given address; the other could not start threads from here.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  build: { assetsInlineLimit: 0, target: "es2022", rollupOptions: { output: { assetFileNames } } },
  worker: { format: "es", rollupOptions: { output: { assetFileNames } } },
  server: { fs: { allow: [".."] } },
});
