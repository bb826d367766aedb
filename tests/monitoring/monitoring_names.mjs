// monitoring_names.mjs EXPOSITION: every metric (and the labels asked of it) in the Prometheus rules, the Grafana
// dashboard and docs/monitoring.md is one that the service exported into that file, or one of the few below that
// need what the test has not; and the dashboard hangs together.
import { readFileSync } from "node:fs";

// Exported only where there is such a thing: these must at least be written by this source.
const conditional = {
  frt_gpu_memory_used_bytes: "src/metrics/metrics_prometheus.c",
  frt_gpu_memory_total_bytes: "src/metrics/metrics_prometheus.c",
  frt_gpu_utilization_ratio: "src/metrics/metrics_prometheus.c",
  frt_device_fallback: "src/metrics/metrics_prometheus.c",
  frt_redis_up: "src/metrics/metrics_prometheus.c",
  frt_redis_hits_total: "src/metrics/metrics_prometheus.c",
  frt_redis_misses_total: "src/metrics/metrics_prometheus.c",
  frt_redis_refused_total: "src/metrics/metrics_prometheus.c",
  frt_remote_breaker_open: "src/metrics/metrics_prometheus.c",
  frt_remote_requests_total: "src/metrics/metrics_prometheus.c",
  frt_remote_request_duration_seconds: "src/metrics/metrics_prometheus.c",
  frt_remote_fallbacks_total: "src/metrics/metrics_prometheus.c",
  frt_remote_differences_total: "src/metrics/metrics_prometheus.c",
};

const faults = [];
const types = new Map(), labels = new Map();
for (const line of readFileSync(process.argv[2], "utf8").split("\n")) {
  const type = /^# TYPE (\S+) (\S+)$/.exec(line);
  if (type) types.set(type[1], type[2]);
  const sample = /^([a-z_0-9]+)(?:\{(.*)\})? \S+$/.exec(line);
  if (!sample) continue;
  if (!labels.has(sample[1])) labels.set(sample[1], new Set(["job", "instance"]));
  for (const label of (sample[2] ?? "").matchAll(/([a-z_]+)="(?:[^"\\]|\\.)*"/g)) labels.get(sample[1]).add(label[1]);
}
const base = (name) => name.replace(/_(bucket|sum|count)$/, "");
const exported = (name) => types.has(name) || types.get(base(name)) === "histogram";
if (types.size < 40) faults.push(`only ${types.size} metrics were exported`);

const rules = readFileSync("deploy/prometheus/frt.rules.yml", "utf8");
const recorded = new Set([...rules.matchAll(/record: (\S+)/g)].map((m) => m[1]));
const used = new Set();

function check(where, text) {
  for (const m of text.matchAll(/(?<![A-Za-z0-9_:."/])(frt|process)_[a-z0-9_]+(?![A-Za-z0-9_]*[/.(])/g)) {
    const name = m[0];
    used.add(name);
    if (exported(name)) {
      const selector = /^\{([^}]*)\}/.exec(text.slice(m.index + name.length));
      for (const label of (selector?.[1] ?? "").matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g))
        if (labels.has(name) && !labels.get(name).has(label[1])) faults.push(`${where}: ${name} has no label '${label[1]}'`);
    } else if (!conditional[base(name)] && !conditional[name] || !readFileSync(conditional[name] ?? conditional[base(name)], "utf8").includes(`"${conditional[name] ? name : base(name)}"`)) {
      faults.push(`${where}: nothing exports ${name}`);
    }
  }
  for (const m of text.matchAll(/\bfrt:[a-z0-9_:]+/g)) if (!recorded.has(m[0])) faults.push(`${where}: no rule records ${m[0]}`);
}

const code = rules.split("\n").filter((line) => !/^\s*#/.test(line)).join("\n");
check("frt.rules.yml", code);
check("docs/monitoring.md", readFileSync("docs/monitoring.md", "utf8"));
const page = readFileSync("docs/monitoring.md", "utf8");
for (const m of rules.matchAll(/alert: (\S+)/g)) if (!page.includes(`\`${m[1]}\``)) faults.push(`docs/monitoring.md does not explain ${m[1]}`);
for (const name of recorded) if (!page.includes(`\`${name}\``)) faults.push(`docs/monitoring.md does not list ${name}`);
for (const m of page.matchAll(/\| `(Frt[A-Za-z]+)`/g)) if (!rules.includes(`alert: ${m[1]}\n`)) faults.push(`no rule is called ${m[1]}`);
const tests = ["", "_day"].map((name) => readFileSync(`tests/monitoring/frt_rules${name}_test.yml`, "utf8")).join("\n");
for (const m of rules.matchAll(/alert: (\S+)/g))
  if (!new RegExp(`alertname: ${m[1]}\\n\\s+exp_alerts:`).test(tests)) faults.push(`no test shows that ${m[1]} fires`);

// ---- the dashboard ----------------------------------------------------------------------------------
const board = JSON.parse(readFileSync("deploy/grafana/frt.json", "utf8"));
const ids = new Set(), places = new Set();
if (!board.templating.list.some((v) => v.type === "datasource" && v.name === "datasource")) faults.push("the dashboard has no variable for the data source");
for (const variable of board.templating.list) if (variable.query?.query) check("dashboard's variables", variable.query.query);
for (const note of board.annotations.list) if (note.expr) check("dashboard's annotations", note.expr);
for (const panel of board.panels) {
  const where = `panel '${panel.title}'`, { x, y, w, h } = panel.gridPos;
  if (ids.has(panel.id)) faults.push(`${where}: its id ${panel.id} is another's`);
  ids.add(panel.id);
  if (x + w > 24) faults.push(`${where} is too far right`);
  for (let i = x; i < x + w; i++)
    for (let k = y; k < y + h; k++)
      if (places.has(`${i},${k}`)) { faults.push(`${where} lies over another`); i = 99; break; } else places.add(`${i},${k}`);
  if (panel.type === "row") continue;
  if (!panel.targets?.length) faults.push(`${where} asks for nothing`);
  if (panel.datasource?.uid !== "${datasource}") faults.push(`${where} is bound to a data source`);
  for (const target of panel.targets ?? []) {
    check(where, target.expr);
    if (target.datasource?.uid !== "${datasource}") faults.push(`${where} is bound to a data source`);
    if (!/job=~"\$job"/.test(target.expr)) faults.push(`${where}: not limited to the job`);
    for (const [, name] of (target.legendFormat ?? "").matchAll(/\{\{(\w+)\}\}/g))
      if (!target.expr.includes(name) && !["instance", "job"].includes(name)) {
        const metrics = [...target.expr.matchAll(/\b(?:frt|process)_[a-z0-9_]+|frt:[a-z0-9_:]+/g)].map((m) => m[0]);
        if (!metrics.some((metric) => labels.get(metric)?.has(name) || recorded.has(metric))) faults.push(`${where}: no label '${name}'`);
      }
  }
}
for (const fault of faults) console.log(fault);
console.log(`${used.size} metrics used, ${types.size} exported; ${board.panels.length} panels; ${faults.length} faults`);
if (used.size < 30) faults.push("too few");
process.exit(faults.length > 0 ? 1 : 0);
