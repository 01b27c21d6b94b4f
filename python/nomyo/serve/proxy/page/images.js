// Images that go with a message, by paste and drop. Each is drawn anew: no larger than models look at it, and without
// what a camera wrote into the file (place, time, device). No file is kept, and no address of one is made.

import { button, byId, element, focusMessage } from "./elements.js";

const MOST = 4; // of a message
const LARGEST_BYTES = 20_000_000; // of a file
const LONGEST_SIDE = 1568; // pixels: what models for images take without making it smaller
const LARGEST_PNG = 1_000_000; // characters; a photograph is much smaller as JPEG
const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];

const shelf = byId("images");
const note = byId("image-note");
let images = [];
let reading = 0;
let clears = 0; // how often all was cleared: a file that was still being read then is dropped

export const areBeingRead = () => reading > 0;
export const pendingImages = () => images;

/** Return the images, and have none any more. */
export function takeImages() {
  const taken = images;
  putImages([]);
  return taken;
}

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
      putImages(images.filter((other) => other !== image));
      focusMessage();
    });
    remove.ariaLabel = `Remove image ${index + 1}`;
    return element("div", shownImage(image), remove);
  }));
}

/** Return a picture of an image: a canvas, because the page's policy allows no image but the page's own. */
export function shownImage({ drawn }) {
  const { width, height } = drawn;
  const shown = canvasOf(drawn, width, height);
  Object.assign(shown, { role: "img", ariaLabel: `Image, ${width} by ${height} pixels` });
  return shown;
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
    const drawn = await drawnFrom(file);
    if (!isCleared()) putImages([...images, { drawn, url: urlOf(drawn, file.type) }]);
  } catch {
    if (!isCleared()) note.textContent = "This image cannot be read.";
  } finally {
    reading -= 1;
  }
}

async function drawnFrom(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const drawn = canvasOf(bitmap, width, height);
  bitmap.close();
  return drawn;
}

function canvasOf(source, width, height) {
  const canvas = element("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  return canvas;
}

/** Return the image as a `data:` URL, the form that OpenAI's requests have for it. */
function urlOf(drawn, type) {
  const exact = type === "image/jpeg" ? "" : drawn.toDataURL("image/png");
  if (exact && exact.length <= LARGEST_PNG) return exact;
  const onWhite = canvasOf(drawn, drawn.width, drawn.height); // JPEG would show as black what is transparent
  const context = onWhite.getContext("2d");
  Object.assign(context, { globalCompositeOperation: "destination-over", fillStyle: "white" });
  context.fillRect(0, 0, drawn.width, drawn.height);
  return onWhite.toDataURL("image/jpeg", 0.9);
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
