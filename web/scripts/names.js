// The names of the shipped models' labels in people's languages, as files for the page: names/de.json is {label: name}.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TABLES = fileURLToPath(new URL("../../src/audioinceptionnext/languages/", import.meta.url));

/** entries: of models.json. Returns path -> content. */
export function namesOf(entries) {
  const known = new Set(entries.flatMap(({ labels, groups }) => [...labels, ...Object.keys(groups)]));
  const tables = readdirSync(TABLES).filter((name) => name.endsWith(".tsv"));
  return new Map(tables.map((name) => [`names/${name.replace(".tsv", ".json")}`, JSON.stringify(readTable(name, known))]));
}

function readTable(name, known) {
  const [, ...rows] = readFileSync(join(TABLES, name), "utf8").trim().split("\n");
  return Object.fromEntries(rows.map((row) => row.split("\t")).filter(([label]) => known.has(label)));
}
