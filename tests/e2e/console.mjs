// The console in Debian's Chromium, used as a person would: photos chosen, dropped, compared; errors read.
// usage: node tests/e2e/console.mjs PROGRAM        SCREENSHOTS=folder keeps pictures of each state
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, need, needModule, photos, steps, withService } from "./service.mjs";

const browserPath = process.env.CHROMIUM ?? "/usr/bin/chromium";
need(browserPath, `${photos}/sample1.jpg`, "data/packs/default/manifest.json");
const { chromium } = await needModule("playwright-core");

const folder = mkdtempSync(join(tmpdir(), "frt-e2e-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const words = join(folder, "words.jpg");
writeFileSync(words, "these are words, not a photo");

await withService(process.argv[2], async (url) => {
  const browser = await chromium.launch({ executablePath: browserPath, headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"] });
  try {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, permissions: ["camera"] });
    const page = await context.newPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(`page: ${error.message}`));
    page.on("console", (message) => {
      // A 4xx answer of the API shows up as a failed resource: that is the test's doing. See "response" for the rest.
      if (message.type() === "error" && !/Failed to load resource/.test(message.text())) complaints.push(message.text());
    });
    page.on("response", (response) => {
      if (response.status() >= 400 && !new URL(response.url()).pathname.startsWith("/v1/")) complaints.push(`${response.status()} ${response.url()}`);
    });
    page.on("request", (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:)/.test(request.url())) complaints.push(`asked for ${request.url()}`);
    });
    const shot = async (name) => {
      if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
    };
    const text = (selector) => page.locator(selector).innerText();
    // What stands on the page from an earlier step must not pass for the answer to this one.
    const forget = () => page.evaluate(() => {
      for (const result of document.querySelectorAll("#detect-result, #compare-result")) result.replaceChildren();
    });
    const choose = async (id, ...files) => {
      await forget();
      await page.setInputFiles(`#${id}-file`, files);
    };
    const visibleRows = () => page.locator("#detect-result tbody tr").count();

    await steps([
      ["opens and says that the service is ready", async () => {
        await page.goto(url);
        await page.waitForSelector("#state.ready");
        check(/default pack/.test(await text("#state")), await text("#state"));
      }],
      ["marks the faces of a photo", async () => {
        await choose("drop-detect", `${photos}/sample1.jpg`);
        await page.waitForSelector("#detect-result tbody tr");
        const answer = JSON.parse(await page.locator("#detect-result pre").textContent());
        check(answer.faces.length >= 3, `${answer.faces.length} faces`);
        check((await visibleRows()) === answer.faces.length, "a row for every face");
        check((await text("#detect-result .summary")).includes(`${answer.faces.length} faces in 1920 × 1280`), await text("#detect-result .summary"));
        check(/quality 0\.\d\d/.test(await text("#detect-result tbody")), "quality is shown");
        // the box's edge is drawn in its colour
        const pixel = await page.evaluate(({ x, y, width }) => {
          const canvas = document.querySelector("#detect-result canvas.photo"), scale = canvas.width / width;
          return [...canvas.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data];
        }, { x: answer.faces[0].box.x, y: answer.faces[0].box.y + answer.faces[0].box.height / 2, width: answer.image.width });
        check(pixel[1] > 150 && pixel[0] < 120, `the pixel on the box is ${pixel}`);
        await shot("detect");
      }],
      ["attributes are asked for when ticked", async () => {
        await page.check("input[value=age]");
        await page.check("input[value=liveness]");
        // Each tick asks anew, and the answer to the first may come before the second is asked.
        await page.waitForFunction(() => {
          const said = document.querySelector("#detect-result tbody")?.innerText ?? "";
          return /about \d+ years/.test(said) && /REAL|SPOOF/.test(said);
        });
      }],
      ["a file that is no photo is refused in words", async () => {
        await choose("drop-detect", words);
        await page.waitForSelector("#detect-result .problem");
        const problem = await text("#detect-result .problem");
        check(/JPEG, PNG, WebP/.test(problem) && /unsupported_image/.test(problem), problem);
        await shot("problem");
      }],
      ["a photo that lies on its side is drawn upright", async () => {
        // The photo turned a quarter to the left, with the EXIF tag that says so (6: turn right to show).
        const { turned, expected } = await page.evaluate(async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), bitmap = await createImageBitmap(new Blob([bytes]));
          const canvas = Object.assign(document.createElement("canvas"), { width: bitmap.height, height: bitmap.width });
          const context = canvas.getContext("2d");
          context.translate(0, canvas.height);
          context.rotate(-Math.PI / 2);
          context.drawImage(bitmap, 0, 0);
          const small = new OffscreenCanvas(48, 32).getContext("2d");
          small.drawImage(bitmap, 0, 0, 48, 32);
          return { turned: canvas.toDataURL("image/jpeg", 0.95).split(",")[1], expected: [...small.getImageData(0, 0, 48, 32).data] };
        }, readFileSync(`${photos}/sample1.jpg`).toString("base64"));
        const jpeg = Buffer.from(turned, "base64");
        const tiff = Buffer.from("4d4d002a00000008" + "0001" + "011200030000000100060000" + "00000000", "hex");
        const exif = Buffer.concat([Buffer.from([0xff, 0xe1, 0, 8 + tiff.length]), Buffer.from("Exif\0\0"), tiff]);
        const path = join(folder, "turned.jpg");
        writeFileSync(path, Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)]));
        await choose("drop-detect", path);
        await page.waitForSelector("#detect-result tbody tr");
        const answer = JSON.parse(await page.locator("#detect-result pre").textContent());
        check(answer.image.width === 1920 && answer.image.height === 1280 && answer.faces.length === 3, JSON.stringify(answer));
        const drawn = await page.evaluate(() => {
          const small = new OffscreenCanvas(48, 32).getContext("2d");
          small.drawImage(document.querySelector("#detect-result canvas.photo"), 0, 0, 48, 32);
          return [...small.getImageData(0, 0, 48, 32).data];
        });
        const difference = drawn.reduce((sum, value, i) => sum + Math.abs(value - expected[i]), 0) / drawn.length;
        check(difference < 10, `the drawn photo differs by ${difference} of 255 from the upright one`);
      }],
      ["a photo that the browser cannot show is answered all the same", async () => {
        await choose("drop-detect", "tests/image/fixtures/quadrants.heic");
        await page.waitForSelector("#detect-result > *");
        const answer = await text("#detect-result");
        // HEIC is read where libheif has its decoder; where not, the service's words are shown.
        check(/cannot show the photo's format/.test(answer) ? /in \d+ × \d+ pixels/.test(answer) : /unsupported_image/.test(answer), answer);
      }],
      ["a dropped photo is taken", async () => {
        const base64 = readFileSync(`${photos}/sample2.jpg`).toString("base64");
        await forget();
        await page.evaluate(async (data) => {
          const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "<b>dropped</b>.jpg", { type: "image/jpeg" }));
          document.querySelector("#drop-detect").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }, base64);
        await page.waitForSelector("#detect-result tbody tr");
        check((await page.locator("#drop-detect .name").textContent()) === "<b>dropped</b>.jpg", "names are text, not markup");
      }],
      ["the camera's picture is taken", async () => {
        await page.click("#drop-detect button");
        await page.waitForSelector("#drop-detect video");
        await page.waitForFunction(() => document.querySelector("#drop-detect video").videoWidth > 0);
        await forget();
        await page.click("text=Take it");
        await page.waitForFunction(() => /in \d+ × \d+ pixels/.test(document.querySelector("#detect-result .summary")?.innerText ?? ""));
        check((await page.locator("#drop-detect .name").textContent()) === "camera.jpg", "the camera's file has a name");
      }],
      ["compares two photos", async () => {
        await page.click("#tab-compare");
        await choose("drop-one", `${photos}/sample1.jpg`);
        await choose("drop-two", `${photos}/sample1.jpg`);
        await page.waitForSelector(".verdict.same");
        await choose("drop-two", `${photos}/sample2.jpg`);
        await page.waitForSelector(".verdict.different");
        const answer = JSON.parse(await page.locator("#compare-result pre").textContent());
        for (const [i, place] of ["one", "two"].entries()) {
          const pixel = await page.evaluate(async ([id, { x, y, height }]) => {
            const canvas = document.querySelector(`#${id} canvas.preview`), file = document.querySelector(`#${id}-file`).files[0];
            const scale = canvas.width / (await createImageBitmap(file)).width;
            return [...canvas.getContext("2d").getImageData(x * scale, (y + height / 2) * scale, 1, 1).data];
          }, [`drop-${place}`, answer.faces[i].box]);
          check(pixel[1] > 150 && pixel[0] < 120, `the pixel on the box of photo ${place} is ${pixel}`);
        }
        await shot("compare");
      }],
      ["the threshold moves the verdict without asking again", async () => {
        const before = (await (await page.request.get(`${url}/metrics`)).json()).requests.by_route["POST /v1/verify"].count;
        await page.locator("#threshold").fill("-0.9");
        await page.waitForSelector(".verdict.same");
        await page.click("#threshold-default");
        await page.waitForSelector(".verdict.different");
        const after = (await (await page.request.get(`${url}/metrics`)).json()).requests.by_route["POST /v1/verify"].count;
        check(before === after, `${before} and ${after} verifications`);
      }],
      ["a photo without a face is named", async () => {
        const blank = await page.evaluate(async () => {
          const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
          canvas.getContext("2d").fillRect(0, 0, 320, 240);
          return canvas.toDataURL("image/png").split(",")[1];
        });
        const path = join(folder, "blank.png");
        writeFileSync(path, Buffer.from(blank, "base64"));
        await choose("drop-two", path);
        await page.waitForSelector("#compare-result .problem");
        check(/image2: no face/.test(await text("#compare-result")), await text("#compare-result"));
      }],
      ["keys reach every section", async () => {
        await page.focus("#tab-compare");
        await page.keyboard.press("ArrowRight");
        await page.waitForSelector("#service:not([hidden])");
        check((await page.evaluate(() => document.activeElement.id)) === "tab-service", "the focus moved along");
        await page.waitForSelector("#service-routes tbody tr");
        check(/POST \/v1\/verify/.test(await text("#service-routes")), await text("#service-routes"));
        check(/default/.test(await text("#service-cards")), await text("#service-cards"));
        await shot("service");
        await page.reload();
        await page.waitForSelector("#service:not([hidden]) .card"); // the address remembers the section
      }],
      ["fits a narrow screen, light and dark", async () => {
        for (const colorScheme of ["dark", "light"]) {
          await page.emulateMedia({ colorScheme });
          await page.setViewportSize({ width: 360, height: 740 });
          for (const tab of ["detect", "compare", "service"]) {
            await page.click(`#tab-${tab}`);
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            check(overflow <= 0, `${tab} is ${overflow} pixels too wide`);
          }
          await shot(`narrow-${colorScheme}`);
        }
      }],
      ["signs in once there are credentials, with a key and with a password", async () => {
        const headers = { "Content-Type": "application/json" };
        const made = await fetch(`${url}/v1/keys`, { method: "POST", headers, body: JSON.stringify({ name: "console", role: "admin" }) });
        const { key, id } = await made.json();
        await page.click("#tab-detect");
        await choose("drop-detect", `${photos}/sample2.jpg`);
        await page.waitForSelector("#detect-result .problem");
        check(/unauthorized/.test(await text("#detect-result .problem")), await text("#detect-result"));
        const attempt = async (fields) => {
          await page.click("#sign-in");
          for (const [name, value] of Object.entries(fields)) await page.fill(`#sign-in-${name}`, value);
          await page.click("#sign-in-form [type=submit]");
        };
        await attempt({ key: `${key.slice(0, -1)}x` });
        await page.waitForSelector("#sign-in-result .problem");
        check(!(await text("#sign-in-result")).includes(key.slice(0, 30)), "the key is not repeated");
        await page.click("#sign-in-cancel");
        await attempt({ email: "nobody@example.org", password: "nobody's secret" });
        await page.waitForSelector("#sign-in-result .problem");
        check(/email or the password/.test(await text("#sign-in-result")), await text("#sign-in-result"));
        await shot("sign-in");
        await page.click("#sign-in-cancel");
        await attempt({ key });
        await page.waitForSelector("#sign-in-dialog:not([open])", { state: "attached" });
        await choose("drop-detect", `${photos}/sample3.jpg`);
        await page.waitForSelector("#detect-result tbody tr");
        check((await page.inputValue("#sign-in-key")) === "", "the key does not stay in the field");
        const kept = await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length);
        check(kept === 0, "nothing is stored in the browser");
        const gone = await fetch(`${url}/v1/keys/${id}`, { method: "DELETE", headers: { "X-API-Key": key } });
        check(gone.status === 200, "the key is deleted again");
      }],
      ["no script failed, no rule of the page was broken, nothing came from elsewhere", async () => {
        check(complaints.length === 0, complaints.join("\n"));
      }],
    ]);
  } finally {
    await browser.close();
  }
});
