// Images that go with a message, by paste and drop. Each is drawn anew: no larger than models look at it, and without
// what a camera wrote into the file (place, time, device). No file is kept, and no address of one is made.

import { button, byId, element, focusMessage } from "./elements.js";

const MOST = 4; // of a message
const LARGEST_BYTES = 20_000_000; // of a file
const LONGEST_SIDE = 1568; // pixels: what models for images take without making it smaller
const LONGEST_SHOWN = 400; // pixels: twice what the style gives them, for dense screens
const LARGEST_PNG = 1_000_000; // characters; a photograph is much smaller as JPEG
const LARGEST_TOGETHER = 10_000_000; // characters of a request's images: the proxy takes 10 MiB, words included
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];

const shelf = byId("images");
const note = byId("image-note");
let images = [];
let reading = 0;
let clears = 0; // how often all was cleared: a file that was still being read then is dropped

export const areBeingRead = () => reading > 0;
export const pendingImages = () => images;

/** Have no images, also none of the files that are still being read. */
export function clearImages() {
  clears += 1;
  note.textContent = "";
  putImages([]);
}

export function putImages(these) {
  images = these;
  shelf.replaceChildren(...images.map((image, index) => {
    const remove = button("Remove", ".quiet.small", () => {
      note.textContent = "";
      putImages(images.filter((other) => other !== image));
      focusMessage();
    });
    remove.ariaLabel = `Remove image ${index + 1}`;
    return element("div", shownImage(image), remove);
  }));
}

/** Tell whether these images can go in one request; if not, say what to do. */
export function fitTogether(these) {
  const fit = these.reduce((sum, { url }) => sum + url.length, 0) <= LARGEST_TOGETHER;
  note.textContent = fit ? "" : "The images of this conversation are too large for one request. Remove some here, or edit"
    + " an earlier question and remove some there, or clear the conversation.";
  return fit;
}

/** Return a picture of an image: a canvas, because the page's policy allows no image but the page's own. */
export function shownImage({ width, height, preview }) {
  const words = `Image, ${width} by ${height} pixels`;
  try {
    return Object.assign(scaled(preview, LONGEST_SHOWN), { role: "img", ariaLabel: words });
  } catch {
    return element("span", words); // the image can be sent all the same
  }
}

async function add(files) {
  const clearsBefore = clears;
  const isCleared = () => clears !== clearsBefore;
  note.textContent = "";
  for (const file of files) {
    if (isCleared()) return;
    const refusal = refusalOf(file);
    if (refusal) note.textContent = refusal;
    else await addOne(file, isCleared);
  }
}

function refusalOf({ type, size }) {
  if (!TYPES.includes(type)) return "Only images can go with a message: PNG, JPEG, WebP or GIF.";
  if (size > LARGEST_BYTES) return `An image may have ${LARGEST_BYTES / 1_000_000} MB at most.`;
  return images.length + reading >= MOST ? `A message takes ${MOST} images at most.` : "";
}

async function addOne(file, isCleared) {
  reading += 1;
  try {
    const image = await imageFrom(file);
    if (!isCleared()) putImages([...images, image]);
  } catch {
    if (!isCleared()) note.textContent = "This image cannot be read.";
  } finally {
    reading -= 1;
  }
}

/** Return what is kept of an image: its size, a small picture to show, and the URL to send. */
async function imageFrom(file) {
  const bitmap = await createImageBitmap(file);
  const drawn = scaled(bitmap, LONGEST_SIDE);
  bitmap.close();
  const { width, height } = drawn;
  const image = { width, height, preview: scaled(drawn, LONGEST_SHOWN), url: urlOf(drawn, file.type) };
  drawn.width = 0; // frees its pixels now: some browsers bound what all canvases have together
  return image;
}

/** @throws {TypeError} if the browser has no memory for a canvas: its context is null then */
function scaled(source, longest) {
  const scale = Math.min(1, longest / Math.max(source.width, source.height));
  const [width, height] = [source.width, source.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(element("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

/** Return the image as a `data:` URL, the form that OpenAI's requests have for it. */
function urlOf(drawn, type) {
  const exact = type === "image/jpeg" ? "" : drawn.toDataURL("image/png");
  if (exact && exact.length <= LARGEST_PNG) return exact;
  const context = drawn.getContext("2d");
  // JPEG would show as black what is transparent.
  Object.assign(context, { globalCompositeOperation: "destination-over", fillStyle: "white" });
  context.fillRect(0, 0, drawn.width, drawn.height);
  return drawn.toDataURL("image/jpeg", 0.9);
}

function onPaste(event) {
  const { files } = event.clipboardData;
  const isText = event.clipboardData.types.includes("text/plain"); // office programs add a picture of what they copy
  if (files.length === 0 || isText) return;
  event.preventDefault();
  add([...files]);
}

/** A file that is dropped beside the message must not replace the page, and the conversation with it. */
function onDrop(event) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  const isLocked = byId("composer").hidden;
  if (event.type === "drop" && !isLocked) add([...event.dataTransfer.files]);
}

byId("message").addEventListener("paste", onPaste);
document.addEventListener("dragover", onDrop);
document.addEventListener("drop", onDrop);
