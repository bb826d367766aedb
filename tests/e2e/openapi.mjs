// web/openapi.json against the service: the same routes in both, every answer as its schema says, every
// problem code of the program in the document's list.
// usage: node tests/e2e/openapi.mjs PROGRAM
import { readFileSync } from "node:fs";
import { check, need, needModule, photos, steps, withService } from "./service.mjs";

need(`${photos}/sample1.jpg`, "data/packs/default/manifest.json");
const { default: Ajv } = await needModule("ajv/dist/2020.js");

const document = JSON.parse(readFileSync("web/openapi.json", "utf8"));
const router = readFileSync("src/http/router.c", "utf8");
const status = readFileSync("src/core/status.c", "utf8");

// OpenAPI's annotations and formats are no business of the validator.
const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ ...document, $id: "openapi" });
const conforms = (pointer, body) => {
  const validate = ajv.getSchema(`openapi#${pointer}`) ?? ajv.compile({ $ref: `openapi#${pointer}` });
  check(validate(body), `${pointer}: ${JSON.stringify(validate.errors, null, 1)} in ${JSON.stringify(body).slice(0, 600)}`);
};
const schemaOf = (path, method, type = "application/json", code = 200) =>
  `/paths/${path.replaceAll("~", "~0").replaceAll("/", "~1")}/${method}/responses/${code}/content/${type.replaceAll("/", "~1")}/schema`;
const problem = "/components/schemas/Problem";

await withService(process.argv[2], async (url) => {
  const photo = readFileSync(`${photos}/sample1.jpg`), other = readFileSync(`${photos}/sample2.jpg`);
  const post = async (target, body, type) => {
    const response = await fetch(url + target, { method: "POST", body, headers: type ? { "Content-Type": type } : {} });
    return { status: response.status, body: await response.json(), type: response.headers.get("Content-Type") };
  };

  // A request of a documented route: `path` as in the document, its parameters filled in; the answer must have the
  // code and conform to what is written for it. A body that is an object goes as JSON.
  const asked = new Set();
  const route = async (method, path, code, { params = {}, query = "", body, headers = {} } = {}) => {
    const target = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name]));
    const json = body !== undefined && Object.getPrototypeOf(body) === Object.prototype;
    const response = await fetch(url + target + query, { method: method.toUpperCase(), body: json ? JSON.stringify(body) : body, headers: { ...(json ? { "Content-Type": "application/json" } : {}), ...headers } });
    const type = response.headers.get("Content-Type").split(";")[0], text = await response.text();
    check(response.status === code, `${method} ${target}: ${response.status} instead of ${code}: ${text.slice(0, 500)}`);
    asked.add(`${method} ${path}`);
    if (type === "application/x-ndjson") {
      check(type in document.paths[path][method].responses[code].content, `${path} answers ${type}`);
      return text;
    }
    const answer = JSON.parse(text);
    if (code < 400) conforms(schemaOf(path, method, type, code), answer);
    else conforms(type === "application/problem+json" ? problem : "/components/schemas/OlderError", answer);
    return answer;
  };
  const base64 = photo.toString("base64"), largest = "on_multiple=largest";

  await steps([
    ["the document and the router have the same routes", async () => {
      const routed = [...router.matchAll(/\{"(\/[^"]*)", "([A-Z]+) [^"]*"/g)].map((m) => `${m[2]} ${m[1]}`).sort();
      const written = Object.entries(document.paths)
        .flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`)).sort();
      check(routed.length > 5, "routes were found in the router");
      check(JSON.stringify(routed) === JSON.stringify(written), `router: ${routed}\ndocument: ${written}`);
    }],
    ["the service sends this very document", async () => {
      check((await (await fetch(`${url}/openapi.json`)).text()) === readFileSync("web/openapi.json", "utf8"), "they differ");
    }],
    ["every reference leads somewhere", async () => {
      const visit = (value) => {
        if (value === null || typeof value !== "object") return;
        if (typeof value.$ref === "string") {
          const target = value.$ref.slice(2).split("/").reduce((at, key) => at?.[key.replaceAll("~1", "/")], document);
          check(target !== undefined, `${value.$ref} leads nowhere`);
        }
        Object.values(value).forEach(visit);
      };
      visit(document);
    }],
    ["every problem code of the program is listed", async () => {
      const codes = [...status.matchAll(/\[FRT_E\w+\] = \{"(\w+)"/g)].map((m) => m[1]);
      const listed = document.components.schemas.Problem.properties.code.enum;
      check(codes.length > 15, "codes were found");
      for (const code of codes) check(listed.includes(code), `${code} is not listed`);
    }],
    ["GET answers conform", async () => {
      for (const path of ["/healthz", "/readyz", "/version", "/metrics"])
        conforms(schemaOf(path, "get"), await (await fetch(url + path)).json());
    }],
    ["headers are there and as written", async () => {
      const follow = (value) => (value.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], document) : value);
      const compare = (written, response) => {
        check(Object.keys(written).length >= 2, "headers are written down");
        for (const [name, header] of Object.entries(written)) {
          const { required, schema } = follow(header), text = response.headers.get(name);
          if (text === null) check(!required, `${response.url} has no ${name}`);
          else check(ajv.validate(schema, schema.type === "number" || schema.type === "integer" ? Number(text) : text), `${name}: ${text}`);
        }
      };
      for (const [path, item] of Object.entries(document.paths)) {
        const [method] = Object.keys(item), [tag] = item[method].tags;
        if (tag !== "faces" && tag !== "service") continue; // those need more than a photo: steps of their own
        const asked = { method: method.toUpperCase(), headers: { "X-Request-Id": "mine.1" } };
        if (path === "/v1/verify") {
          asked.body = new FormData();
          for (const name of ["image1", "image2"]) asked.body.append(name, new Blob([photo]));
        } else if (method === "post") {
          asked.body = photo;
        }
        const response = await fetch(url + path, asked);
        check(response.status === 200, `${path} answers ${response.status}`);
        check(response.headers.get("X-Request-Id") === "mine.1", "the request's own id is kept");
        const type = response.headers.get("Content-Type").split(";")[0], written = item[method].responses[200];
        check(type in written.content, `${path} answers ${type}`);
        compare(written.headers, response);
        await response.arrayBuffer();
      }
      const refused = await fetch(`${url}/healthz`, { method: "POST" });
      check(refused.status === 405 && /GET/.test(refused.headers.get("Allow")), "405 says what is allowed");
      compare(document.components.responses.Problem.headers, refused);
      await refused.arrayBuffer();
    }],
    ["detect conforms, with and without attributes", async () => {
      for (const query of ["", "?attributes=all", "?attributes=quality,liveness,age,gender,expression&max_faces=1&min_confidence=0.2&min_size=10"]) {
        const answer = await post(`/v1/detect${query}`, photo, "image/jpeg");
        check(answer.status === 200 && answer.body.faces.length > 0, JSON.stringify(answer));
        conforms(schemaOf("/v1/detect", "post"), answer.body);
      }
    }],
    ["embed conforms in both encodings", async () => {
      for (const encoding of ["array", "base64"]) {
        const answer = await post(`/v1/embed?encoding=${encoding}`, photo, "image/jpeg");
        conforms(schemaOf("/v1/embed", "post"), answer.body);
      }
    }],
    ["timelines conform, of answers and of problems", async () => {
      const trace = { "X-FRT-Trace": "1" };
      const answer = await route("post", "/v1/embed", 200, { body: photo, query: "?max_faces=2", headers: trace });
      check(answer.trace.some((step) => step.name === "embedding-cache" && step.note), JSON.stringify(answer.trace));
      const refused = await route("post", "/v1/detect", 415, { body: Buffer.from("no image"), headers: trace });
      check(Array.isArray(refused.trace), JSON.stringify(refused));
    }],
    ["verify conforms, with photos and with embeddings", async () => {
      const form = new FormData();
      form.append("image1", new Blob([photo]));
      form.append("image2", new Blob([other]));
      conforms(schemaOf("/v1/verify", "post"), (await post("/v1/verify", form)).body);
      const embedding = (await post("/v1/embed?max_faces=1", photo)).body.faces[0].embedding;
      const answer = await post("/v1/verify", JSON.stringify({ image1: photo.toString("base64"), embedding2: embedding, threshold: 0.3 }), "application/json");
      conforms(schemaOf("/v1/verify", "post"), answer.body);
      check(answer.body.faces[1] === null && answer.body.verified, "an embedding has no face");
    }],
    ["collections conform", async () => {
      const c = "/v1/collections", params = { c: "people", s: "Ann / B", face_id: "a-1" };
      await route("put", `${c}/{c}`, 201, { params, body: { threshold: 0.5, metadata: { a: [1] } } });
      await route("put", `${c}/{c}`, 200, { params, body: { threshold: 0.5, metadata: { a: [1] } } });
      await route("put", `${c}/{c}`, 409, { params, body: { threshold: 0.4 } });
      await route("patch", `${c}/{c}`, 200, { params, body: { threshold: null, target_fpir: 0.01 } });
      await route("post", `${c}/{c}/faces`, 201, { params, query: `?subject=${encodeURIComponent(params.s)}&face_id=a-1&${largest}`, body: photo });
      const photos = (...images) => {
        const form = new FormData();
        for (const image of images) form.append("image", new Blob([image]));
        form.append("subject", "Bob");
        form.append("on_multiple", "largest");
        return form;
      };
      const some = await route("post", `${c}/{c}/faces`, 201, { params, body: photos(photo, other, "no photo") });
      check(some.faces.length === 2 && some.rejected[0].image === 2, JSON.stringify(some.rejected));
      await route("post", `${c}/{c}/faces`, 415, { params, body: photos("no photo", "none either") });
      await route("post", `${c}/{c}/faces`, 201, { params, body: { subject: "Bob", images: [base64], on_multiple: "all", metadata: { k: "v" } } });
      await route("post", `${c}/{c}/faces`, 409, { params, query: `?subject=Cleo&on_duplicate=reject&${largest}`, body: photo });
      const found = await route("post", `${c}/{c}/search`, 200, { params, query: "?max_faces=9&candidates=true", body: photo });
      check(found.faces.length > 1 && found.faces[0].matches.length > 0, "faces are found");
      await route("post", `${c}/{c}/search`, 200, { params, body: { image: base64, top_k: 2 } });
      await route("get", c, 200, { query: "?limit=1" });
      await route("get", `${c}/{c}`, 200, { params });
      await route("get", `${c}/{c}/faces`, 200, { params, query: "?limit=2&embedding=true" });
      await route("get", `${c}/{c}/faces/{face_id}`, 200, { params, query: "?embedding=true&encoding=base64" });
      await route("get", `${c}/{c}/subjects`, 200, { params, query: "?limit=1" });
      const lines = await route("get", `${c}/{c}/export`, 200, { params });
      await route("put", `${c}/{c}`, 201, { params: { c: "copy" } });
      const report = await route("post", `${c}/{c}/import`, 200, { params: { c: "copy" }, body: `${lines}nonsense\n` });
      check(report.imported === lines.split("\n").length - 1 && report.rejected.length === 1, JSON.stringify(report));
      const { job } = await route("post", `${c}/{c}/rebuild`, 202, { params });
      await route("get", "/v1/jobs/{id}", 200, { params: { id: job } });
      await route("get", "/v1/jobs/{id}", 404, { params: { id: "none" } });
      conforms(schemaOf("/metrics", "get"), await (await fetch(`${url}/metrics`)).json());
      const loaded = await route("post", "/v1/models/reload", 200, { body: {} });
      check(!loaded.changed && loaded.other_models === 0, JSON.stringify(loaded));
      await route("post", "/v1/models/reload", 400, { body: { pack: "../x" } });
      await route("patch", `${c}/{c}/subjects/{s}`, 200, { params, body: { subject: "Ann" } });
      await route("delete", `${c}/{c}/subjects/{s}`, 200, { params: { c: "people", s: "Bob" } });
      await route("delete", `${c}/{c}/faces/{face_id}`, 200, { params });
      await route("delete", `${c}/{c}`, 200, { params });
      await route("get", `${c}/{c}`, 404, { params });
    }],
    ["the older surface conforms", async () => {
      const collection_name = "old";
      await route("get", "/ping", 200);
      await route("post", "/create-collection", 201, { body: { collection_name } });
      await route("post", "/create-collection", 400, { body: { collection_name } });
      await route("get", "/list-collections", 200);
      await route("post", "/add-image", 200, { body: { collection_name, id: "ann", base64_code: base64 } });
      await route("post", "/add-image", 409, { body: { collection_name, id: "ann", base64_code: base64 } });
      await route("get", "/list-images", 200, { query: "?collection_name=old" });
      await route("post", "/find", 200, { body: { collection_name, img_base64: base64 } });
      await route("post", "/verify", 200, { body: { img1: base64, img2: base64 } });
      await route("post", "/detect-face", 200, { body: { img_base64: base64 } });
      await route("post", "/rebuild-index", 200, { body: { collection_name } });
      await route("delete", "/delete-image", 200, { body: { collection_name, id: "ann" } });
      await route("delete", "/delete-collection", 200, { body: { collection_name } });
      await route("post", "/login", 401, { body: { email: "a@b.example", password: "nobody's" } });
    }],
    ["access conforms", async () => {
      await route("post", "/v1/auth/login", 401, { body: { email: "a@b.example", password: "nobody's" } });
      const { key, id } = await route("post", "/v1/keys", 201, { body: { name: "test", role: "admin", expires_in_seconds: 600 } });
      const headers = { "X-API-Key": key };
      await route("get", "/v1/keys", 401);
      await route("get", "/v1/keys", 200, { headers });
      await route("delete", "/v1/keys/{id}", 200, { headers, params: { id } });
      await route("get", "/v1/keys", 200); // the last one is gone: open again, on loopback
    }],
    ["models are kept from others, and the problems conform", async () => {
      for (const path of ["/v2", "/v2/health/live", "/v2/health/ready"]) await route("get", path, 404);
      check((await route("get", "/v2/models/{model}", 404, { params: { model: "antispoof" } })).error.includes("model_api"), "it says how");
    }],
    ["models for others conform", async () => {
      const kept = url;
      await withService(process.argv[2], async (server) => {
        url = server;
        const params = { model: "antispoof", version: "3.3.6" };
        for (const path of ["/v2", "/v2/health/live", "/v2/health/ready"]) await route("get", path, 200);
        const of = "/v2/models/{model}", ofVersion = `${of}/versions/{version}`;
        for (const path of [of, `${of}/ready`, ofVersion, `${ofVersion}/ready`]) await route("get", path, 200, { params });
        const { inputs: [{ name, shape }] } = await route("get", of, 200, { params });
        const size = shape.slice(1).reduce((a, b) => a * b);
        const inputs = [{ name, datatype: "FP32", shape: [1, ...shape.slice(1)], data: Array(size).fill(0.5) }];
        for (const path of [of, ofVersion]) await route("post", `${path}/infer`, 200, { params, body: { id: "1", inputs } });
        await route("post", `${of}/infer`, 400, { params, body: { inputs: [] } });
        const bytes = await fetch(`${url}/v2/models/antispoof/infer`, { method: "POST", body: JSON.stringify({ inputs, parameters: { binary_data_output: true } }) });
        const json = Number(bytes.headers.get("Inference-Header-Content-Length")), answer = Buffer.from(await bytes.arrayBuffer());
        check(bytes.headers.get("Content-Type") === "application/octet-stream" && json > 0 && answer.length > json, "bytes behind the JSON");
        conforms(schemaOf(`${of}/infer`, "post"), JSON.parse(answer.subarray(0, json)));
        // and a service that lets this one compute says so
        await withService(process.argv[2], async (client) => {
          const metrics = await (await fetch(`${client}/metrics`)).json();
          check(metrics.remote.protocol === "kserve" && metrics.remote.requests.ok > 0, JSON.stringify(metrics.remote));
          conforms(schemaOf("/metrics", "get"), metrics);
          // so does one whose Redis is away, which is ready all the same
          check(metrics.redis.state === "away" && metrics.redis.hits === 0, JSON.stringify(metrics.redis));
          const ready = await (await fetch(`${client}/readyz`)).json();
          check(ready.degraded.redis === "away", JSON.stringify(ready));
          conforms(schemaOf("/readyz", "get"), ready);
        }, ["--infer", `kserve:${server}`, "--infer-timeout", "20s", "--redis", "redis://127.0.0.1:1"]);
      }, ["--model-api", "true"]);
      url = kept;
    }],
    ["every route was asked", async () => {
      const rest = Object.entries(document.paths).flatMap(([path, item]) => Object.entries(item)
        .filter(([, operation]) => ["collections", "older", "access", "model_api"].includes(operation.tags[0])).map(([method]) => `${method} ${path}`))
        .filter((name) => !asked.has(name));
      check(rest.length === 0, `nobody asked ${rest}`);
    }],
    ["problems conform", async () => {
      const wrong = [["/v1/detect", "words", "image/jpeg", 415], ["/v1/detect?max_faces=0", photo, "image/jpeg", 400],
        ["/v1/nothing", photo, "image/jpeg", 404], ["/healthz", "x", "text/plain", 405], ["/v1/verify", "{}", "application/json", 400],
        ["/v1/detect", photo.subarray(0, 5000), "image/jpeg", 422]];
      for (const [target, body, type, expected] of wrong) {
        const answer = await post(target, body, type);
        check(answer.status === expected && answer.type === "application/problem+json", `${target}: ${JSON.stringify(answer)}`);
        conforms(problem, answer.body);
      }
    }],
  ]);
});
