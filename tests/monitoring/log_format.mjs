// log_format.mjs: docs/formats/log-v1.md has every event and field that the sources write, with one type each, and
// none that they do not.
import { readFileSync, readdirSync } from "node:fs";

const page = readFileSync("docs/formats/log-v1.md", "utf8");
const sources = readdirSync("src", { recursive: true })
  .filter((name) => name.endsWith(".c"))
  .map((name) => [name, readFileSync(`src/${name}`, "utf8")]);
if (sources.length < 100) throw new Error(`only ${sources.length} sources: is this the project's root?`);

// ---- the page ---------------------------------------------------------------------------------------
const section = (title) => page.split(`\n## ${title}\n`)[1].split("\n## ")[0];
const rows = (text) =>
  text.split("\n").filter((line) => line.startsWith("| `")).map((line) => line.split("|").map((cell) => cell.trim()));
const names = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map((m) => m[1]);
const pageFields = new Map(), pageEvents = new Set();
for (const row of [...rows(section("Every line")), ...rows(section("Fields"))])
  for (const name of names(row[1])) {
    if (pageFields.has(name)) throw new Error(`the page has the field '${name}' twice`);
    pageFields.set(name, row[2]);
  }
for (const row of rows(section("Events"))) for (const name of names(row[1])) pageEvents.add(name);

// ---- the sources ------------------------------------------------------------------------------------
const kinds = { STR: "text", INT: "whole", NUM: "number", whole: "whole", number: "number", stage: "number" };
const fields = new Map(), events = new Map(), faults = [];
function sawField(name, kind, where) {
  const known = fields.get(name);
  if (known && known.kind !== kind) faults.push(`${where}: field '${name}' is ${kind}, in ${known.where} it is ${known.kind}`);
  if (!known) fields.set(name, { kind, where });
}
for (const [where, text] of sources) {
  for (const m of text.matchAll(/\bFRT_LOG_(STR|INT|NUM)\(\s*"([^"]+)"/g)) sawField(m[2], kinds[m[1]], where);
  for (const m of text.matchAll(/\badd_(whole|number|stage)\(&?line,\s*"([^"]+)"/g)) sawField(m[2], kinds[m[1]], where);
  for (const m of text.matchAll(/\bfrt_log(?:_fields)?\(\s*((?:"(?:[^"\\]|\\.)*"|[^;"])*?)\s*,\s*(?:FRT_LOG_(?:STR|INT|NUM|END)|[a-z_.>-]*fields)/g)) {
    // the level, then one literal or a choice of two; literals that are broken over lines stand side by side
    const text = m[1].replace(/"\s+"/g, "");
    for (const literal of text.matchAll(/"((?:[^"\\]|\\.)*)"/g)) events.set(literal[1], where);
  }
}
// fields that summary.c puts together: a stage's or cache's name and what of it
for (const stage of ["image", "detect", "recognize", "store"]) {
  sawField(`${stage}_ms`, "number", "http/summary.c");
  sawField(`${stage}_queued`, "whole", "http/summary.c");
}
for (const cache of ["embedding", "image", "index"]) sawField(`${cache}_hit_rate`, "number", "http/summary.c");
events.set("log_line_lost", "core/log.c");
sawField("reason", "text", "core/log.c");

// ---- compared ---------------------------------------------------------------------------------------
for (const [name, { kind, where }] of fields)
  if (!pageFields.has(name)) faults.push(`${where}: a row is missing: | \`${name}\` | ${kind} | … |`);
  else if (pageFields.get(name) !== kind) faults.push(`field '${name}' is ${kind} in ${where}, the page says ${pageFields.get(name)}`);
for (const name of pageFields.keys()) if (!fields.has(name)) faults.push(`nothing writes the page's field '${name}'`);
for (const [name, where] of events) if (!pageEvents.has(name)) faults.push(`${where}: a row is missing for the event \`${name}\``);
for (const name of pageEvents) if (!events.has(name)) faults.push(`nothing writes the page's event '${name}'`);
if (events.size < 20 || fields.size < 60) faults.push(`only ${events.size} events and ${fields.size} fields were found: has the way to log changed?`);
for (const fault of faults) console.log(fault);
console.log(`docs/formats/log-v1.md: ${events.size} events, ${fields.size} fields, ${faults.length} faults`);
process.exit(faults.length > 0 ? 1 : 0);
