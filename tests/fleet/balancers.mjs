// The balancers' configurations of deploy/, with the real programs: they are valid; what may be sent twice is sent again when a
// service hangs up amid it, what may not is answered 503 and reached one service only; a request that a refused connection met
// goes elsewhere whatever it is; ids, addresses and limits. Before a real service: what a client says of its address counts for
// nothing.
// usage: node tests/fleet/balancers.mjs PROGRAM haproxy|nginx
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync, chmodSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { ask, check, folder, freePort, haproxyIsThere, run, service, skip, startHaproxy, until } from "./fleet.mjs";

const program = process.argv[2];
const [, , , which] = process.argv;
const nginxProgram = ["/usr/sbin/nginx", ".deps/nginx"].find((path) => existsSync(path));
if (which === "haproxy" && !haproxyIsThere()) skip("no HAProxy (package haproxy; scripts/setup --fleet)");
if (which === "nginx" && !nginxProgram) skip("no nginx (package nginx; scripts/setup --fleet)");
if (!existsSync("data/packs/default/manifest.json")) skip("data/packs/default is not there (make test makes it)");

/** Stands for a service: notes what came, and answers 200 or breaks the connection before a byte of an answer. */
async function standIn(name) {
  const one = { name, seen: [], breaks: false, ready: true, port: await freePort() };
  one.server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      if (request.url === "/readyz") return response.writeHead(one.ready ? 200 : 503).end();
      one.seen.push({ id: request.headers["x-request-id"], address: request.headers["x-forwarded-for"], method: request.method, url: request.url, size: Buffer.concat(parts).length, trace: request.headers.traceparent });
      if (one.breaks) return request.socket.destroy();
      response.writeHead(200, { "Content-Type": "application/json", "X-Request-Id": request.headers["x-request-id"] ?? "" }).end(JSON.stringify({ by: name }));
    });
  });
  one.open = () => new Promise((resolve) => one.server.listen(one.port, "127.0.0.1", resolve));
  one.close = () => new Promise((resolve) => { one.server.close(resolve); one.server.closeAllConnections(); });
  await one.open();
  return one;
}

async function startNginx(ports) {
  const port = await freePort(), place = join(folder, "nginx");
  mkdirSync(place, { recursive: true });
  chmodSync(place, 0o777);
  let text = readFileSync("deploy/nginx/frt.conf", "utf8").replace("listen 8080;", `listen 127.0.0.1:${port};`).replace("/var/log/nginx/frt.log", `${place}/access.log`);
  [8081, 8082, 8083].forEach((p, i) => { text = text.replace(`server 127.0.0.1:${p}`, `server 127.0.0.1:${ports[i]}`); });
  writeFileSync(join(place, "frt.conf"), text);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((p) => `${p}_temp_path ${place}/${p};`).join(" ");
  writeFileSync(join(place, "nginx.conf"), `daemon off; pid ${place}/pid; error_log stderr; worker_processes 1;\nevents {}\nhttp { access_log off; ${paths} include ${place}/frt.conf; }\n`);
  execFileSync(nginxProgram, ["-t", "-q", "-c", join(place, "nginx.conf"), "-p", place]);
  const child = run("nginx.server", nginxProgram, ["-c", join(place, "nginx.conf"), "-p", place]);
  await until("nginx is up", async () => (await ask(port, "GET", "/healthz")).status !== 0);
  return { port, child };
}

const enrolment = { subject: "ann", embedding: [1], model: { name: "m", version: "1" } };
const again = [["GET", "/v1/collections"], ["POST", "/v1/collections/staff/search", { embedding: [1] }], ["POST", "/v1/detect", Buffer.alloc(3000)], ["PUT", "/v1/collections/staff", {}]];
const once = [["POST", "/v1/collections/staff/faces", enrolment], ["PATCH", "/v1/collections/staff", {}], ["POST", "/add-image", {}]];

async function tryBalancer(kind, start, services) {
  const balancer = await start(services.map((one) => one.port));
  const send = (method, path, body, headers = {}) => ask(balancer.port, method, path, { body, headers });
  const clear = () => services.forEach((one) => { one.seen = []; });
  const withId = (id) => services.flatMap((one) => one.seen.filter((r) => r.id === id).map(() => one.name));
  const [a, b, c] = services;

  // ids, trace context, addresses
  clear();
  let answer = await send("GET", "/v1/collections", undefined, { "X-Request-Id": "mine-1", "X-Forwarded-For": "203.0.113.9", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  check(answer.status === 200 && answer.headers["x-request-id"] === "mine-1", `${kind}: an id is handed on`);
  const seen = services.flatMap((one) => one.seen);
  check(seen.length === 1 && seen[0].address === "127.0.0.1", `${kind}: a client's own X-Forwarded-For is replaced: ${JSON.stringify(seen)}`);
  check(seen[0].trace?.startsWith("00-0af76519"), `${kind}: traceparent is handed on`);
  answer = await send("GET", "/v1/collections", undefined, { "X-Request-Id": "no good id" });
  check(/^[A-Za-z0-9._-]{16,}$/.test(answer.headers["x-request-id"]), `${kind}: an id is made: ${answer.headers["x-request-id"]}`);

  // limits
  clear();
  answer = await send("POST", "/v1/detect", Buffer.alloc(21 << 20));
  check(answer.status === 413 && answer.body.code === "body_too_large" || answer.status === 0, `${kind}: 21 MiB: ${answer.status}`);
  check(withId(answer.headers["x-request-id"] ?? "").length === 0 && services.every((one) => one.seen.length === 0), `${kind}: too much reached a service`);
  answer = await send("POST", "/v1/detect", Buffer.alloc(15 << 20));
  check(answer.status === 200 && services.some((one) => one.seen.some((r) => r.size === 15 << 20)), `${kind}: 15 MiB pass`);
  answer = await send("POST", "/v1/collections/staff/import", Buffer.alloc(22 << 20));
  check(answer.status === 200, `${kind}: an import has no limit: ${answer.status}`);

  // a service that hangs up amid requests: a only
  a.breaks = true;
  for (let round = 0; round < 4; round++) {
    for (const [method, path, body] of again) {
      const id = `again-${kind}-${method}-${path.replaceAll("/", ".")}-${round}`;
      answer = await send(method, path, body, { "X-Request-Id": id });
      check(answer.status === 200, `${kind}: ${method} ${path} was not sent again: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    for (const [method, path, body] of once) {
      const id = `once-${kind}-${method}-${path.replaceAll("/", ".")}-${round}`;
      answer = await send(method, path, body, { "X-Request-Id": id });
      check(answer.status === 200 || (answer.status === 503 && answer.body.code === "outcome_unknown" && answer.headers["retry-after"]), `${kind}: ${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      check(withId(id).length === 1, `${kind}: ${method} ${path} reached ${withId(id)}`);
    }
  }
  check(a.seen.length > 2, `${kind}: the broken service was asked (${a.seen.length})`);
  a.breaks = false;

  // a service that is gone: everything goes elsewhere
  await a.close();
  for (let round = 0; round < 4; round++)
    for (const [method, path, body] of [...again, ...once]) {
      answer = await send(method, path, body);
      check(answer.status === 200, `${kind}: ${method} ${path} with one service gone: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  // all are gone
  await b.close();
  await c.close();
  answer = await send("POST", "/v1/collections/staff/faces", enrolment);
  check(answer.status === 503 && answer.headers["content-type"].startsWith("application/problem+json"), `${kind}: nobody is there: ${answer.status}`);
  for (const one of services) await one.open();
  await until(`${kind}: they are back`, async () => (await send("GET", "/v1/collections")).status === 200);
  balancer.child.kill("SIGKILL");
  await balancer.child.ended;
  console.log(`ok      ${kind}`);
}

async function readyzDecides(services) {
  const balancer = await startHaproxy(services.map((one) => one.port));
  services[0].ready = false;
  const by = async () => (await ask(balancer.port, "GET", "/v1/collections")).body.by;
  await until("HAProxy has seen it", async () => {
    services[0].seen = [];
    for (let i = 0; i < 6; i++) await by();
    return services[0].seen.length === 0;
  }, 8000);
  services.forEach((one) => { one.ready = false; });
  await until("HAProxy has seen all", async () => {
    for (let i = 0; i < 6; i++) await by();
    return services[0].seen.length > 0; // none is ready: all are asked
  }, 8000);
  services.forEach((one) => { one.ready = true; });
  balancer.child.kill("SIGKILL");
  await balancer.child.ended;
  console.log("ok      HAProxy goes by /readyz");
}

/** A job is asked about at the service that does it. */
async function jobsStick() {
  const services = [];
  for (let i = 0; i < 2; i++) services.push(await service(program, `job${i}`, ["--database", join(folder, "jobs.db"), "--trusted-proxies", "127.0.0.1"]));
  const balancer = await startHaproxy([services[0].port, services[1].port, services[0].port]);
  check((await ask(balancer.port, "PUT", "/v1/collections/staff", { body: {} })).status === 201, "a collection");
  for (let i = 0; i < 6; i++) {
    const made = await ask(balancer.port, "POST", "/v1/collections/staff/rebuild");
    check(made.status === 202, `rebuild: ${made.status}`);
    for (let k = 0; k < 4; k++) {
      const job = await ask(balancer.port, "GET", made.headers.location);
      check(job.status === 200, `${made.headers.location}: ${job.status}`);
    }
  }
  for (const one of services) check((await one.stop("SIGTERM")) === 0, "it ends");
  balancer.child.kill("SIGKILL");
  console.log("ok      HAProxy asks the service whose job it is");
}

const services = [await standIn("a"), await standIn("b"), await standIn("c")];
if (which === "haproxy") {
  execFileSync("/usr/sbin/haproxy", ["-c", "-q", "-f", "deploy/haproxy/haproxy.cfg"], { env: { ...process.env, BALANCE_PAGES: "deploy/haproxy" } });
  await tryBalancer("HAProxy", startHaproxy, services);
  await readyzDecides(services);
  await jobsStick();
} else {
  await tryBalancer("nginx", startNginx, services);
}
process.exit(0);
