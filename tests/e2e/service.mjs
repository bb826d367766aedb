// What the e2e tests share: the service as a child process, checks with words, and skipping.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const photos = "node_modules/@vladmandic/face-api/demo";

/** Ends the test as skipped (77) unless every path is there. */
export function need(...paths) {
  for (const path of paths)
    if (!existsSync(path)) {
      console.log(`SKIP: ${path} is not there (make test installs it)`);
      process.exit(77);
    }
}

/** Import a development dependency, or skip. */
export async function needModule(name) {
  try {
    return await import(name);
  } catch (error) {
    console.log(`SKIP: ${name} is not installed: ${error.message}`);
    process.exit(77);
  }
}

export function check(truth, text) {
  if (!truth) throw new Error(text);
}

/** Run `body(url)` against a service of its own, with more options; it is stopped whatever happens. */
export async function withService(program, body, options = []) {
  const folder = mkdtempSync(join(tmpdir(), "frt_e2e_"));
  const child = spawn(program, ["serve", "--listen", "127.0.0.1:0", "--database", join(folder, "frt.db"), ...options], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));
  // A test that is told to stop (a terminal, a build's time limit) takes its service along.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
    process.once(signal, () => { child.kill("SIGKILL"); process.exit(1); });
  process.once("exit", () => { child.kill("SIGKILL"); rmSync(folder, { recursive: true, force: true }); });
  let log = "";
  try {
    const url = await new Promise((resolve, reject) => {
      child.stderr.setEncoding("utf8").on("data", (text) => {
        log += text;
        const ready = /event=ready url=(\S+)/.exec(log);
        if (ready) resolve(ready[1]);
      });
      child.on("error", reject);
      ended.then((code) => reject(new Error(`the service ended with ${code}: ${log}`)));
      setTimeout(() => reject(new Error(`the service is not ready after 30 s: ${log}`)), 30000).unref();
    });
    await body(url);
    child.kill("SIGTERM");
    check((await ended) === 0, `the service ended with ${await ended}: ${log}`);
  } finally {
    child.kill("SIGKILL");
  }
}

/** Runs named steps in order; the first failure ends the program with 1. */
export async function steps(list) {
  for (const [name, step] of list) {
    try {
      await step();
      console.log(`ok      ${name}`);
    } catch (error) {
      console.log(`FAILED  ${name}\n${error.stack}`);
      throw error;
    }
  }
}
