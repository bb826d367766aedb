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
const schemaOf = (path, method, type = "application/json") =>
  `/paths/${path.replaceAll("~", "~0").replaceAll("/", "~1")}/${method}/responses/200/content/${type.replaceAll("/", "~1")}/schema`;
const problem = "/components/schemas/Problem";

await withService(process.argv[2], async (url) => {
  const photo = readFileSync(`${photos}/sample1.jpg`), other = readFileSync(`${photos}/sample2.jpg`);
  const post = async (target, body, type) => {
    const response = await fetch(url + target, { method: "POST", body, headers: type ? { "Content-Type": type } : {} });
    return { status: response.status, body: await response.json(), type: response.headers.get("Content-Type") };
  };

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
