// The console: a page over the service's own API. Nothing from an answer or a file name is ever taken as
// markup: elements are made with el(), text goes in as text.

const $ = (id) => document.getElementById(id);

/** el("p", {class: "x", onclick: f}, "text", child, …) */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const fixed = (x, digits = 2) => (Number.isFinite(x) ? x.toFixed(digits) : "–");
const ms = (x) => `${fixed(x, x >= 100 ? 0 : x >= 1 ? 1 : 2)} ms`;
const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// ------------------------------------------------------------------------------------------------ service

class Problem extends Error {
  constructor(body, status, id) {
    super(body.detail ?? `the service answered ${status}`);
    this.title = body.title ?? "Error";
    this.code = body.code ?? String(status);
    this.id = body.request_id ?? id ?? "";
  }
}

/** What was signed in with, as headers: in this variable and nowhere else. */
let credentials = {};

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...credentials, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "No answer", detail: "the service does not answer; is it running?", code: "network" }, 0);
  }
  const text = await response.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    body = { detail: `not JSON: ${text.slice(0, 200)}` };
    if (response.ok) throw new Problem(body, response.status);
  }
  if (response.status === 401) $("sign-in").hidden = false;
  if (!response.ok) throw new Problem(body, response.status, response.headers.get("X-Request-Id"));
  return body;
}

function problemBox(error) {
  console.debug(error.code, error.message);
  return el("p", { class: "problem", role: "alert" }, el("b", {}, `${error.title ?? "Error"}: `), error.message,
    el("small", {}, `${error.code ?? error.name}${error.id ? ` · request ${error.id}` : ""}`));
}

// ------------------------------------------------------------------------------------------------- photos

/** A photo as the browser shows it: upright, like the service's coordinates. Null when it cannot. */
async function bitmapOf(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

/** Where a photo is chosen, dropped, pasted or taken. onphoto(file, bitmap). */
class PhotoInput {
  constructor(place, label, onphoto) {
    this.place = place;
    this.onphoto = onphoto;
    this.name = el("span", { class: "name" });
    this.preview = el("canvas", { class: "preview", hidden: true, role: "img" });
    this.file = el("input", { type: "file", id: `${place.id}-file`, "aria-label": label,
      accept: "image/*,.heic,.heif,.avif", onchange: () => this.file.files[0] && this.take(this.file.files[0]) });
    this.camera = el("button", { type: "button", onclick: () => this.openCamera() }, "Camera");
    place.append(this.preview, el("label", {}, this.file, el("span", { class: "button" }, label)),
      navigator.mediaDevices?.getUserMedia ? this.camera : null ?? "", el("p", {}, "or drop or paste one here"), this.name);
    place.tabIndex = -1;
    place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("over");
      if (event.dataTransfer.files[0]) this.take(event.dataTransfer.files[0]);
    });
  }

  async take(file, showPreview = true) {
    this.name.textContent = file.name ?? "pasted photo";
    this.current = file;
    const bitmap = await bitmapOf(file);
    if (this.current !== file) return; // another came meanwhile
    this.preview.hidden = !(showPreview && this.place.dataset.preview && bitmap);
    if (!this.preview.hidden) {
      fit(this.preview, bitmap.width, bitmap.height, 600);
      this.preview.getContext("2d").drawImage(bitmap, 0, 0, this.preview.width, this.preview.height);
      this.preview.setAttribute("aria-label", `photo ${this.name.textContent}`);
    }
    this.bitmap = bitmap;
    this.onphoto(file, bitmap);
  }

  /** Marks a face on the preview: a photo may show several people, and one of them counts. */
  mark(face) {
    if (this.preview.hidden || !face) return;
    drawFaces(this.preview, this.bitmap, this.bitmap, [face]);
    this.preview.setAttribute("aria-label", `photo ${this.name.textContent} with the face that counts marked`);
  }

  async openCamera() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
    } catch (error) {
      this.name.textContent = `no camera: ${error.message}`;
      return;
    }
    const video = el("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "camera" });
    const close = () => { stream.getTracks().forEach((track) => track.stop()); box.remove(); this.camera.disabled = false; };
    const shoot = () => {
      const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => { close(); if (blob) this.take(new File([blob], "camera.jpg", { type: "image/jpeg" })); }, "image/jpeg", 0.92);
    };
    const box = el("p", {}, video, el("button", { type: "button", class: "primary", onclick: shoot }, "Take it"),
      " ", el("button", { type: "button", onclick: close }, "Cancel"));
    video.srcObject = stream;
    this.camera.disabled = true;
    this.place.prepend(box);
  }
}

/** Sizes a canvas for a picture, at most `most` pixels wide or high. Returns canvas pixels per photo pixel. */
function fit(canvas, width, height, most) {
  const scale = Math.min(1, most / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  return scale;
}

const marks = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"];

function drawFaces(canvas, bitmap, image, faces, current) {
  const scale = fit(canvas, image.width, image.height, 1600);
  const context = canvas.getContext("2d");
  if (bitmap) context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const line = Math.max(2, canvas.width / 400), text = Math.max(14, canvas.width / 60);
  faces.forEach((face, i) => {
    const { x, y, width, height } = face.box, colour = i === current ? "#ffb300" : "#21d07a";
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = line;
    context.strokeRect(x * scale, y * scale, width * scale, height * scale);
    for (const mark of marks) {
      const [px, py] = face.landmarks?.[mark] ?? [NaN, NaN];
      context.beginPath();
      context.arc(px * scale, py * scale, line * 1.3, 0, 7);
      context.fill();
    }
    const label = `${i + 1} · ${Math.round(face.confidence * 100)} %`;
    context.font = `600 ${text}px system-ui, sans-serif`;
    const room = context.measureText(label).width + text * 0.7, top = Math.max(0, y * scale - text * 1.4);
    context.fillRect(x * scale - line / 2, top, room, text * 1.4);
    context.fillStyle = "#08131f";
    context.fillText(label, x * scale + text * 0.3, top + text * 1.08);
  });
}

/** The face, with a margin, on a small square canvas. */
function drawCrop(canvas, bitmap, box, size) {
  canvas.width = canvas.height = size;
  if (!bitmap) return;
  const side = Math.max(box.width, box.height) * 1.3;
  const x = box.x + box.width / 2 - side / 2, y = box.y + box.height / 2 - side / 2;
  canvas.getContext("2d").drawImage(bitmap, x, y, side, side, 0, 0, size, size);
}

function timesBar(times) {
  const parts = ["decode", "detect", "align", "embed", "attributes"].filter((name) => times[name] > 0);
  const known = parts.reduce((sum, name) => sum + times[name], 0);
  const bar = el("div", { class: "times", role: "img",
    "aria-label": parts.map((name) => `${name} ${ms(times[name])}`).join(", ") });
  const add = (name, value) => {
    const part = el("span", { class: name, title: `${name} ${ms(value)}` }, `${name} ${ms(value)}`);
    part.style.flex = `${value} 1 0`;
    bar.append(part);
  };
  for (const name of parts) add(name, times[name]);
  if (times.total - known > 0.02 * times.total) add("rest", times.total - known);
  return bar;
}

const unseen = () => el("p", { class: "note" }, "This browser cannot show the photo's format; the service can read it.");

function jsonView(body) {
  return el("details", {}, el("summary", {}, "the answer as JSON"), el("pre", { tabindex: 0 }, JSON.stringify(body, null, 2)));
}

// ------------------------------------------------------------------------------------------------- detect

const detect = { file: null, bitmap: null, running: null };

function describe(face) {
  const said = [];
  if (face.quality) said.push(`quality ${fixed(face.quality.score)} (sharpness ${fixed(face.quality.sharpness)}, brightness ${fixed(face.quality.brightness)})`,
    `yaw ${fixed(face.quality.yaw, 0)}°, pitch ${fixed(face.quality.pitch, 0)}°, roll ${fixed(face.quality.roll, 0)}°`);
  if (face.age != null) said.push(`about ${fixed(face.age, 0)} years`);
  if (face.gender) said.push(face.gender);
  if (face.expression) said.push(typeof face.expression === "string" ? face.expression : face.expression.name ?? "");
  if (face.liveness) said.push(`${face.liveness.type} (spoof ${fixed(face.liveness.spoof_confidence)})`);
  return said.filter(Boolean).join(" · ");
}

function showFaces(body, bitmap) {
  const canvas = el("canvas", { class: "photo", role: "img",
    "aria-label": `the photo with ${plural(body.faces.length, "face", "faces")} marked` });
  const draw = (current) => drawFaces(canvas, bitmap, body.image, body.faces, current);
  draw();
  const rows = body.faces.map((face, i) => {
    const crop = el("canvas", { role: "img", "aria-label": `face ${i + 1}` });
    drawCrop(crop, bitmap, face.box, 112);
    const { x, y, width, height } = face.box;
    return el("tr", { tabindex: 0, onmouseenter: () => draw(i), onmouseleave: () => draw(), onfocus: () => draw(i), onblur: () => draw() },
      el("td", {}, crop), el("th", { scope: "row" }, String(i + 1)), el("td", {}, `${fixed(face.confidence * 100, 1)} %`),
      el("td", {}, `${fixed(width, 0)} × ${fixed(height, 0)} at ${fixed(x, 0)}, ${fixed(y, 0)}`), el("td", {}, describe(face)));
  });
  const head = ["", "face", "sure", "box, pixels", "also"].map((text) => el("th", { scope: "col" }, text));
  return [
    el("p", { class: "summary" }, `${body.faces.length === 0 ? "No face" : plural(body.faces.length, "face", "faces")} in ${body.image.width} × ${body.image.height} pixels, ${ms(body.timing_ms.total)}`),
    bitmap ? null : unseen(),
    canvas, timesBar(body.timing_ms),
    rows.length > 0 ? el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))) : null,
    jsonView(body),
  ].filter(Boolean);
}

async function runDetect() {
  if (!detect.file) return;
  detect.running?.abort();
  const running = (detect.running = new AbortController());
  const query = new URLSearchParams();
  const attributes = [...document.querySelectorAll("input[name=attribute]:checked")].map((box) => box.value);
  if (attributes.length > 0) query.set("attributes", attributes.join(","));
  if ($("min-confidence").value !== "") query.set("min_confidence", $("min-confidence").value);
  const result = $("detect-result");
  result.setAttribute("aria-busy", "true");
  try {
    const body = await ask(`/v1/detect?${query}`, { method: "POST", body: detect.file, signal: running.signal,
      headers: { "Content-Type": "application/octet-stream" } });
    if (detect.running === running) result.replaceChildren(...showFaces(body, detect.bitmap));
  } catch (error) {
    if (error.name !== "AbortError" && detect.running === running) result.replaceChildren(problemBox(error));
  } finally {
    if (detect.running === running) result.removeAttribute("aria-busy");
  }
}

// ------------------------------------------------------------------------------------------------ compare

const compare = { photos: [null, null], answer: null, running: null };

/** The verdict for the slider's threshold: the similarity does not depend on it, so nothing is asked again. */
function showVerdict() {
  if (!compare.answer) return;
  const body = compare.answer, threshold = Number($("threshold").value), same = body.similarity >= threshold;
  const percent = (cosine) => `${Math.max(0, Math.min(100, ((cosine + 1) / 2) * 100))}%`;
  const crops = body.faces.map((face, i) => {
    const canvas = el("canvas", { role: "img", "aria-label": `the face compared in photo ${i + 1}` });
    if (face) drawCrop(canvas, compare.photos[i].bitmap, face.box, 240);
    return canvas;
  });
  const value = el("div", { class: "value" }), mark = el("div", { class: "mark", title: `threshold ${fixed(threshold)}` });
  value.style.width = percent(body.similarity);
  mark.style.left = percent(threshold);
  const said = el("div", {}, el("strong", {}, same ? "Same person" : "Different people"),
    el("div", { class: "gauge", role: "img", "aria-label": `similarity ${fixed(body.similarity)}, threshold ${fixed(threshold)}` }, value, mark),
    el("div", { class: "scale" }, el("span", {}, "−1"), el("span", {}, `similarity ${fixed(body.similarity, 3)} · threshold ${fixed(threshold)} · ${ms(body.timing_ms.total)}`), el("span", {}, "1")));
  $("compare-result").replaceChildren(el("div", { class: `verdict ${same ? "same" : "different"}` }, crops[0], said, crops[1]),
    ...(compare.photos.every((photo) => photo.bitmap) ? [] : [unseen()]), timesBar(body.timing_ms), jsonView(body));
}

async function runCompare() {
  if (!compare.photos[0] || !compare.photos[1]) return;
  compare.running?.abort();
  const running = (compare.running = new AbortController());
  const form = new FormData();
  compare.photos.forEach((photo, i) => form.append(`image${i + 1}`, photo.file));
  const result = $("compare-result");
  result.setAttribute("aria-busy", "true");
  try {
    const body = await ask("/v1/verify", { method: "POST", body: form, signal: running.signal });
    if (compare.running !== running) return;
    compare.answer = body;
    pairInputs.forEach((input, i) => input.mark(body.faces[i]));
    showVerdict();
  } catch (error) {
    if (error.name === "AbortError" || compare.running !== running) return;
    compare.answer = null;
    result.replaceChildren(problemBox(error));
  } finally {
    if (compare.running === running) result.removeAttribute("aria-busy");
  }
}

// ------------------------------------------------------------------------------------------------ service

const bytes = (n) => (n >= 1e9 ? `${fixed(n / 1e9, 2)} GB` : `${fixed(n / 1e6, 0)} MB`);

function duration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  const [size, unit] = parts[first], rest = parts[first + 1];
  const more = rest ? Math.floor((seconds % size) / rest[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${more > 0 ? ` ${more} ${rest[1]}` : ""}`;
}

function showService(version, metrics) {
  const card = (title, value, more) => el("div", { class: "card" }, el("h2", {}, title), el("p", {}, value), more ? el("small", {}, more) : null);
  const requests = metrics.requests, time = requests.response_time_ms;
  $("service-cards").replaceChildren(
    card("Version", version.version, `${version.runtime.name} ${version.runtime.version}`),
    card("Model pack", version.pack?.name ?? "loading…", version.pack ? `${version.pack.version} · threshold ${fixed(version.pack.threshold)}` : ""),
    card("Up", duration(metrics.uptime_seconds), `${requests.in_flight} in flight`),
    card("Requests", String(requests.total), `${requests.errors} errors · ${requests.rejected} turned away`),
    card("Answer time", time.count > 0 ? ms(time.p50) : "–", `p95 ${ms(time.p95)} · p99 ${ms(time.p99)}`),
    card("Memory", bytes(metrics.memory.rss_bytes), `peak ${bytes(metrics.memory.peak_rss_bytes)}`),
    card("Processor", `${fixed(metrics.cpu.percent, 0)} %`, plural(metrics.cpu.cores, "core", "cores")),
    card("Models", String(metrics.models.length), metrics.models.map((model) => model.name).join(", ")));
  const rows = Object.entries(requests.by_route).filter(([, t]) => t.count > 0).map(([route, t]) =>
    el("tr", {}, el("th", { scope: "row" }, route), el("td", {}, String(t.count)),
      ...[t.p50, t.p95, t.p99, t.max].map((value) => el("td", {}, ms(value)))));
  document.querySelector("#service-routes tbody").replaceChildren(...rows);
}

// ------------------------------------------------------------------------------------------------ sign in

async function signIn(event) {
  event.preventDefault(); // nothing is sent by the form itself: the page's policy forbids it
  const key = $("sign-in-key").value.trim(), email = $("sign-in-email").value.trim(), password = $("sign-in-password").value;
  const before = credentials;
  try {
    if (key !== "") {
      credentials = { "X-API-Key": key };
      await ask("/v1/collections?limit=1"); // is it one?
    } else {
      credentials = {};
      const { access_token: token } = await ask("/v1/auth/login", { method: "POST",
        headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email, password }) });
      credentials = { Authorization: `Bearer ${token}` };
    }
    $("sign-in-dialog").close();
    $("sign-in").textContent = "Sign in as another";
    refresh();
  } catch (error) {
    credentials = before;
    $("sign-in-result").replaceChildren(problemBox(error));
  }
}

$("sign-in").addEventListener("click", () => {
  $("sign-in-result").replaceChildren();
  $("sign-in-dialog").showModal();
});
$("sign-in-cancel").addEventListener("click", () => $("sign-in-dialog").close());
$("sign-in-dialog").addEventListener("close", () => $("sign-in-form").reset()); // no secret stays in a field
$("sign-in-form").addEventListener("submit", signIn);

const state = { version: null, touched: false };

async function refresh() {
  const line = $("state");
  try {
    await ask("/readyz");
    if (!state.version?.pack) {
      state.version = await ask("/version");
      if (!state.touched && state.version.pack) setThreshold(state.version.pack.threshold);
    }
    line.className = "ready";
    line.textContent = `ready · ${state.version.pack.name} pack`;
    if (!$("service").hidden) showService(state.version, await ask("/metrics"));
  } catch (error) {
    if (error.code === "unauthorized" || error.code === "forbidden") { // the service is well, its figures are not for all
      $("service-cards").replaceChildren(problemBox(error));
      return;
    }
    line.className = "down";
    line.textContent = error.message;
    state.version = null;
  }
}

// --------------------------------------------------------------------------------------------------- page

function setThreshold(value) {
  $("threshold").value = value;
  $("threshold-value").textContent = fixed(Number($("threshold").value));
  showVerdict();
}

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(tab, focus) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  refresh();
}

tabs.forEach((tab, i) => {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) openTab(tabs[(i + step + tabs.length) % tabs.length], true);
  });
});

const detectInput = new PhotoInput($("drop-detect"), "Choose a photo", (file, bitmap) => {
  Object.assign(detect, { file, bitmap });
  runDetect();
});
const pairInputs = ["one", "two"].map((which, i) => {
  const place = $(`drop-${which}`);
  place.dataset.preview = "yes";
  return new PhotoInput(place, i === 0 ? "Choose the first photo" : "Choose the second photo", (file, bitmap) => {
    compare.photos[i] = { file, bitmap };
    compare.answer = null; // it speaks of the photo before
    runCompare();
  });
});

document.addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
  if (!file) return;
  if (!$("detect").hidden) detectInput.take(file);
  else if (!$("compare").hidden) pairInputs[compare.photos[0] && !compare.photos[1] ? 1 : 0].take(file);
});
// A photo dropped beside the field must not make the browser leave the page.
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());

document.querySelectorAll("input[name=attribute]").forEach((box) => box.addEventListener("change", runDetect));
$("min-confidence").addEventListener("change", runDetect);
$("threshold").addEventListener("input", () => { state.touched = true; setThreshold($("threshold").value); });
$("threshold-default").addEventListener("click", () => setThreshold(state.version?.pack?.threshold ?? 0.5));

openTab(tabs.find((tab) => `#${tab.getAttribute("aria-controls")}` === location.hash) ?? tabs[0]);
setInterval(() => { if (!document.hidden) refresh(); }, 3000);
