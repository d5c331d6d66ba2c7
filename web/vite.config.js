import { readFileSync, writeFileSync } from "node:fs";
import { defineConfig } from "vite";
import { zooModels } from "./scripts/models.js";

const PAGE = "../src/audioinceptionnext/page";
const here = (path) => new URL(path, import.meta.url);

/** index.html: the server's page with an engine of its own, so that there is one page to look after. */
function writePage() {
  const page = readFileSync(here(`${PAGE}/index.html`), "utf8");
  const ours = page.replace('"./main.js"', '"./src/main.js"').replace(/(src|href)="\.\/(?!src\/)/g, `$1="${PAGE}/`);
  writeFileSync(here("index.html"), ours);
}

/** models.json and the models that it lists, in the build and in the development server. */
function models() {
  const all = zooModels();
  const files = new Map(all.map(({ path, content }) => [path, content]));
  files.set("models.json", JSON.stringify(all.map(({ entry }) => entry)));
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

// Some hosts do not know that .mjs is JavaScript, and browsers then refuse it.
const assetFileNames = ({ names }) =>
  names[0]?.endsWith(".mjs") ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]";

writePage();
export default defineConfig({
  base: "./", // any folder of any host
  plugins: [models()],
  // The build of onnxruntime-web that loads its wasm from where we say; the other could not start threads from here.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  build: { assetsInlineLimit: 0, target: "es2022", rollupOptions: { output: { assetFileNames } } },
  worker: { format: "es", rollupOptions: { output: { assetFileNames } } },
  server: { fs: { allow: [".."] } },
});
