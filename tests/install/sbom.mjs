// sbom.mjs BUILD-FOLDER: the bill of materials of an installed tree has the shape of CycloneDX 1.5 as far as it goes
// (checked against the published schema by hand when it was written), names what is really there, and is the same twice.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const require = createRequire(import.meta.url);
let Ajv;
try {
  Ajv = require('ajv');
} catch {
  console.log('SKIP: ajv is absent (scripts/setup --test)');
  process.exit(77);
}
const build = process.argv[2];
const pack = process.env.FRT_PACK || 'data/packs/default';
if (!existsSync(path.join(pack, 'manifest.json'))) {
  console.log(`SKIP: no pack in ${pack}`);
  process.exit(77);
}
const fail = (why) => {
  console.error(`FAILED: ${why}`);
  process.exitCode = 1;
};
const hash = { type: 'object', required: ['alg', 'content'], additionalProperties: false, properties: {
  alg: { enum: ['SHA-256', 'SHA-512'] }, content: { type: 'string', pattern: '^([0-9a-f]{64}|[0-9a-f]{128})$' } } };
const licence = { type: 'object', required: ['license'], additionalProperties: false, properties: {
  license: { type: 'object', additionalProperties: false, minProperties: 1, maxProperties: 1,
    properties: { id: { enum: ['MIT', 'Apache-2.0', 'BSD-3-Clause'] }, name: { type: 'string', minLength: 1 } } } } };
const component = { type: 'object', required: ['type', 'name', 'bom-ref', 'licenses'], additionalProperties: false, properties: {
  type: { enum: ['application', 'library', 'file', 'machine-learning-model'] }, 'bom-ref': { type: 'string', minLength: 1 },
  name: { type: 'string', minLength: 1 }, version: { type: 'string', minLength: 1 }, description: { type: 'string' },
  purl: { type: 'string', pattern: '^pkg:(deb|npm)/' }, hashes: { type: 'array', minItems: 1, items: hash },
  licenses: { type: 'array', minItems: 1, uniqueItems: true, items: licence } } };
const schema = { type: 'object', additionalProperties: false,
  required: ['bomFormat', 'specVersion', 'serialNumber', 'version', 'metadata', 'components', 'dependencies'], properties: {
    bomFormat: { const: 'CycloneDX' }, specVersion: { const: '1.5' }, version: { const: 1 },
    serialNumber: { type: 'string', pattern: '^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' },
    metadata: { type: 'object', required: ['component'], properties: { component } },
    components: { type: 'array', minItems: 1, uniqueItems: true, items: component },
    dependencies: { type: 'array', items: { type: 'object', required: ['ref', 'dependsOn'], properties: {
      ref: { type: 'string' }, dependsOn: { type: 'array', uniqueItems: true, items: { type: 'string' } } } } } } };

const tree = mkdtempSync(path.join(tmpdir(), 'frt-sbom-'));
try {
  execFileSync('cmake', ['--install', build, '--prefix', tree, '--component', 'service'], { stdio: 'ignore' });
  const make = () => execFileSync('deploy/sbom', ['--pack', pack, tree], { encoding: 'utf8' });
  const text = make();
  if (make() !== text) fail('two of the same tree differ');
  const bom = JSON.parse(text);
  const validate = new Ajv({ allErrors: true }).compile(schema);
  if (!validate(bom)) fail(JSON.stringify(validate.errors, null, 1));
  const refs = new Map(bom.components.map((c) => [c['bom-ref'], c]));
  if (refs.size !== bom.components.length) fail('two components have the same bom-ref');
  for (const c of bom.components.filter((c) => c.type === 'file')) {
    const real = createHash('sha256').update(readFileSync(path.join(tree, c.name))).digest('hex');
    if (c.hashes[0].content !== real) fail(`${c.name} has another hash`);
  }
  const models = JSON.parse(readFileSync(path.join(pack, 'manifest.json'), 'utf8')).models.length;
  if (bom.components.filter((c) => c.type === 'machine-learning-model').length !== models) fail('not every model is named');
  // What the program names, as the linker sees it, must be in: a library that we link and forget is the fault to find.
  for (const needed of ['libsqlite3-0', 'libsodium23', 'libwebp7'])
    if (!refs.has(`deb:${needed}`)) fail(`${needed} is linked and not named`);
  for (const name of ['file:bin/frt', 'npm:@vladmandic/face-api', 'npm:@vladmandic/human'])
    if (!refs.has(name)) fail(`${name} is not named`);
  if (existsSync(path.join(tree, 'lib/frt/libonnxruntime.so.1')) && !refs.has('npm:onnxruntime-node')) fail('ONNX Runtime is not named');
  let refused = false;
  try {
    execFileSync('deploy/sbom', [path.join(tree, 'share')], { stdio: 'ignore' });
  } catch {
    refused = true;
  }
  if (!refused) fail('a tree without the program is described');
  console.log(`${bom.components.length} components`);
} finally {
  rmSync(tree, { recursive: true, force: true });
}
