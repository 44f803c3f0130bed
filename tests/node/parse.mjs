// AsyncAPI's own parser on a document: its faults on standard output, and how many channels it understood.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Parser } = createRequire(process.argv[2])("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[3], "utf8"));
const faults = diagnostics.filter((each) => each.severity < 2).map((each) => `${each.path.join(".")}: ${each.message}`);
console.log(JSON.stringify({ faults, channels: document ? document.channels().length : 0 }));
