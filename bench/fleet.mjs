#!/usr/bin/env node
// bench/fleet PROGRAM: two services on one store, a core each, against one service with two: photos searched cold, four at a
// time, in turn. JSON lines like bench/bench.h's. FLEET_SECONDS (4) each, FLEET_ROUNDS (5).
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import http from "node:http";
import { join } from "node:path";
import { ask, check, folder, freePort, now, quantile, service } from "../tests/fleet/fleet.mjs";

const program = process.argv[2] ?? "build/release/frt", SECONDS = Number(process.env.FLEET_SECONDS ?? 4), ROUNDS = Number(process.env.FLEET_ROUNDS ?? 5);
const CLIENTS = 4, photo = readFileSync("node_modules/@vladmandic/face-api/demo/sample1.jpg");
const args = ["--database", join(folder, "frt.db"), "--request-timeout-ms", "60s"];
const one = await service(program, "one", args, { FRT_CORES: "2", FRT_LOG_LEVEL: "warn" });
const two = [await service(program, "first", args, { FRT_CORES: "1", FRT_LOG_LEVEL: "warn" }), await service(program, "second", args, { FRT_CORES: "1", FRT_LOG_LEVEL: "warn" })];
await ask(one.port, "PUT", "/v1/collections/staff", { body: {} });
const made = await ask(one.port, "POST", "/v1/collections/staff/faces?subject=ann&on_multiple=largest", { body: photo, type: "image/jpeg" });
check(made.status === 201, `enroll: ${JSON.stringify(made.body)}`);

// Another comment behind the JPEG's first two bytes makes other bytes of the same picture: nothing remembers them.
let number = 0;
function another() {
  const text = String(number++).padStart(16, "0");
  return Buffer.concat([photo.subarray(0, 2), Buffer.from([0xff, 0xfe, 0, 18]), Buffer.from(text), photo.subarray(2)]);
}

async function load(ports) {
  let done = 0;
  const agent = new http.Agent({ keepAlive: true }), times = [], start = now();
  await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    while (now() - start < SECONDS * 1000) {
      const at = now();
      const answer = await ask(ports[i % ports.length], "POST", "/v1/collections/staff/search", { body: another(), type: "image/jpeg", agent });
      check(answer.status === 200, `search: ${JSON.stringify(answer.body ?? answer.error)}`);
      times.push(now() - at);
      done++;
    }
  }));
  agent.destroy();
  return { rate: done / (now() - start) * 1000, p50: quantile(times, 0.5) };
}

const singles = [], doubles = [];
await load([one.port]); // warm
await load(two.map((s) => s.port));
for (let i = 0; i < ROUNDS; i++) {
  singles.push(await load([one.port]));
  doubles.push(await load(two.map((s) => s.port)));
}
const median = (list, key) => quantile(list.map((x) => x[key]), 0.5);
const ratio = quantile(singles.map((s, i) => doubles[i].rate / s.rate), 0.5);
console.log(JSON.stringify({ bench: "fleet", case: "two-instances", cpu: cpus()[0].model, cores: cpus().length, unit: "requests/s", ours: +median(doubles, "rate").toFixed(2), peer: +median(singles, "rate").toFixed(2), peer_name: "one instance with two cores", ratio: +ratio.toFixed(4), wanted_ratio: 0.95, met: ratio >= 0.95, p50_ms: +median(doubles, "p50").toFixed(2), peer_p50_ms: +median(singles, "p50").toFixed(2), rounds: ROUNDS, ratios: singles.map((s, i) => +(doubles[i].rate / s.rate).toFixed(3)) }));
process.exit(0);
