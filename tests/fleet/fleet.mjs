// What the fleet's tests share: a PostgreSQL, a Redis, balancers and services as children that end with the test whatever
// happens; a TCP forwarder that can be cut; and a client that keeps count.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, chmodSync, mkdirSync, openSync, chownSync } from "node:fs";
import { createServer, connect } from "node:net";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const now = () => performance.now();
export function check(truth, text) {
  if (!truth) throw new Error(text);
}

/** Ends the program: 77, what is missing. */
export function skip(what) {
  console.log(`SKIP: ${what}`);
  process.exit(77);
}

// ---- folder and children ---------------------------------------------------------------------------------

export const folder = mkdtempSync(join(tmpdir(), "frt_fleet_"));
chmodSync(folder, 0o755);
const children = new Set();
const endAll = () => {
  for (const child of children) {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
  }
  if (!process.env.FRT_KEEP_LOG) rmSync(folder, { recursive: true, force: true });
};
process.once("exit", endAll);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

/** A child whose output goes to a file; `ended` resolves to its exit code or signal. */
export function run(name, program, args, { env = {}, user } = {}) {
  const log = openSync(join(folder, `${name}.log`), "a");
  const child = spawn(program, args, { stdio: ["ignore", log, log], env: { ...process.env, ...env }, uid: user?.uid, gid: user?.gid });
  child.name = name;
  child.log = () => readFileSync(join(folder, `${name}.log`), "utf8");
  child.ended = new Promise((resolve) => {
    child.on("exit", (code, signal) => { children.delete(child); resolve(code ?? signal); });
    child.on("error", (error) => { children.delete(child); resolve(error.message); });
  });
  children.add(child);
  return child;
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export async function until(what, truth, ms = 30000) {
  for (const start = now(); ; await sleep(20)) {
    if (await truth()) return;
    if (now() - start > ms) throw new Error(`${what}: not within ${ms} ms`);
  }
}

// ---- PostgreSQL -------------------------------------------------------------------------------------------

function findPostgres() {
  if (process.env.FRT_TEST_POSTGRES_BIN) return process.env.FRT_TEST_POSTGRES_BIN;
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).map(Number).filter((v) => v > 0).sort((a, b) => b - a) : [];
  return versions.length === 0 ? null : join(root, String(versions[0]), "bin");
}

/** PostgreSQL does not run as root. */
function serverUser() {
  if (process.getuid() !== 0) return undefined;
  for (const line of readFileSync("/etc/passwd", "utf8").split("\n").reverse()) {
    const [name, , uid, gid] = line.split(":");
    if (name === "postgres" || name === "nobody") return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** A server on a port of its own; restart() stops it as an operator would and starts it again. */
export async function startPostgres() {
  const bin = findPostgres();
  if (bin === null || !existsSync(join(bin, "initdb"))) skip("no PostgreSQL server (package postgresql; scripts/setup --fleet)");
  const user = serverUser(), data = join(folder, "postgres"), port = await freePort();
  mkdirSync(data);
  if (user) chownSync(data, user.uid, user.gid);
  execFileSync(join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "frt", "-E", "UTF8", "--locale=C", "-N"], { ...user, stdio: "ignore", cwd: "/" });
  const server = { port, child: null };
  const isReady = () => {
    try {
      execFileSync(join(bin, "pg_isready"), ["-q", "-h", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
      return true;
    } catch { return false; }
  };
  server.start = async () => {
    server.child = run("postgres.server", join(bin, "postgres"), ["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", `unix_socket_directories=${data}`, "-c", "shared_buffers=32MB", "-c", "max_connections=100"], { user });
    await until("PostgreSQL is up", isReady);
  };
  server.stop = async () => {
    server.child.kill("SIGINT"); // "fast": sessions are ended, what was committed is written
    await server.child.ended;
  };
  server.restart = async () => {
    await server.stop();
    await server.start();
  };
  await server.start();
  execFileSync(join(bin, "createdb"), ["-h", "127.0.0.1", "-p", String(port), "-U", "frt", "frt"], { stdio: "ignore" });
  return server;
}

/** Redis' server out of redis-server, or out of redis-tools, whose redis-check-rdb is the same program; null without. */
export async function startRedis() {
  const program = ["/usr/bin/redis-server", "/usr/bin/redis-check-rdb"].find((path) => existsSync(path));
  if (!program) return null;
  const port = await freePort();
  const log = openSync(join(folder, "redis.log"), "a");
  const child = spawn(program, ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder], { argv0: "redis-server", stdio: ["ignore", log, log] });
  children.add(child);
  await until("Redis is up", () => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); }).on("error", () => resolve(false));
  }), 5000);
  return { port, child };
}

// ---- a forwarder that can be cut --------------------------------------------------------------------------

/** TCP from a port of its own to `to`. cut(): connections end and new ones are refused; hang(): they stand and nothing
 *  passes, as when a cable is pulled; heal(). */
export async function startForwarder(to) {
  const pairs = new Set();
  let state = "open";
  const server = createServer((socket) => {
    if (state === "cut") return socket.resetAndDestroy();
    const onward = connect(to, "127.0.0.1");
    const pair = [socket, onward];
    const end = () => { pairs.delete(pair); socket.destroy(); onward.destroy(); };
    pairs.add(pair);
    for (const [a, b] of [[socket, onward], [onward, socket]]) {
      a.on("data", (bytes) => { if (!b.destroyed) b.write(bytes); });
      a.on("close", end).on("error", end);
    }
    if (state === "hang") pair.forEach((s) => s.pause());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return {
    port: server.address().port,
    cut() { state = "cut"; for (const pair of pairs) pair.forEach((s) => s.resetAndDestroy()); },
    hang() { state = "hang"; for (const pair of pairs) pair.forEach((s) => s.pause()); },
    heal() { state = "open"; for (const pair of pairs) pair.forEach((s) => s.resume()); },
  };
}

// ---- services -----------------------------------------------------------------------------------------------

export const pack = "data/packs/default";

/** A service of its own port and data folder. start(), stop(signal), ready(). */
export async function service(program, name, args, env = {}) {
  const port = await freePort();
  const data = join(folder, name);
  mkdirSync(data);
  const one = { name, port, child: null };
  one.start = async () => {
    one.child = run(name, program, ["serve", "--listen", `127.0.0.1:${port}`, "--data-dir", data, "--pack", pack, ...args], { env });
    await until(`${name} is ready`, async () => {
      if (!children.has(one.child)) throw new Error(`${name} ended: ${one.child.log().slice(-2000)}`);
      return (await ask(port, "GET", "/readyz")).status === 200;
    });
  };
  one.stop = async (signal) => {
    one.child.kill(signal);
    return one.child.ended;
  };
  await one.start();
  return one;
}

export function haproxyIsThere() {
  return existsSync("/usr/sbin/haproxy");
}

/** HAProxy with the configuration of deploy/haproxy, in front of these ports. */
export async function startHaproxy(ports) {
  const port = await freePort(), stats = await freePort();
  const env = { BALANCE_LISTEN: `127.0.0.1:${port}`, BALANCE_STATS: `127.0.0.1:${stats}`, BALANCE_PAGES: "deploy/haproxy", BALANCE_NAME: String(port) };
  ports.forEach((p, i) => { env[`BALANCE_${i + 1}`] = `127.0.0.1:${p}`; });
  const child = run("haproxy", "/usr/sbin/haproxy", ["-db", "-f", "deploy/haproxy/haproxy.cfg"], { env });
  await until("HAProxy is up", async () => (await ask(port, "GET", "/healthz")).status === 200);
  return { port, stats, child };
}

// ---- asking -------------------------------------------------------------------------------------------------

/** One request. status 0: the connection failed. body: parsed when it is JSON. */
export function ask(port, method, path, { body, headers = {}, agent, type } = {}) {
  return new Promise((resolve) => {
    const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const all = { ...headers };
    if (bytes) Object.assign(all, { "Content-Type": type ?? "application/json", "Content-Length": bytes.length });
    const request = http.request({ host: "127.0.0.1", port, method, path, headers: all, agent: agent ?? false }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("error", (error) => resolve({ status: 0, error: error.code ?? error.message, headers: {} }));
      response.on("end", () => {
        const text = Buffer.concat(parts).toString();
        let parsed = text;
        try { parsed = JSON.parse(text); } catch { /* not JSON */ }
        resolve({ status: response.statusCode, headers: response.headers, body: parsed });
      });
    });
    request.on("error", (error) => resolve({ status: 0, error: error.code ?? error.message, headers: {} }));
    request.end(bytes);
  });
}

/** A unit vector of its own for each number. */
export function embedding(number, dim = 128) {
  let z = (number + 1) * 0x9e3779b9 >>> 0;
  const v = [];
  for (let i = 0; i < dim; i++) {
    z = (Math.imul(z ^ (z >>> 15), 0x85ebca6b) + 0x6d2b79f5) >>> 0;
    const y = Math.imul(z ^ (z >>> 13), 0xc2b2ae35) >>> 0;
    v.push(y / 0xffffffff - 0.5);
  }
  const norm = Math.hypot(...v);
  return v.map((x) => Number((x / norm).toFixed(7)));
}

export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
}
