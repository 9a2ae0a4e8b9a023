// The explorer runs models in the browser with onnxruntime-web. `docs/explorer.py` writes the files it loads.
"use strict";

const folder = new URL("explorer/", document.currentScript.src).href;
const status = document.getElementById("explorer-status");
const REACH = 3; // range of a slider to either side, in standard deviations of the prior
const panels = Object.fromEntries(
  ["planar", "large", "conditional", "draw"].map((name) => [name, document.getElementById(`explorer-${name}`)]),
);

// Loading.

function load(name) {
  return new Promise((resolve, reject) => {
    if (EXPLORER[name]) return resolve(EXPLORER[name]);
    const script = document.createElement("script");
    script.src = `${folder}${name}.js`;
    script.onload = () => resolve(EXPLORER[name]);
    script.onerror = () => reject(new Error(`${script.src} is missing`));
    document.head.append(script);
  });
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function startRuntime() {
  const { module, binary } = await load("runtime");
  const script = new Blob([await unpack(module)], { type: "text/javascript" });
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(script) };
  ort.env.wasm.wasmBinary = (await unpack(binary)).buffer;
  ort.env.wasm.numThreads = 1; // more threads need HTTP headers, which a page opened from disk lacks
}

// Networks are created on first use and run one call at a time.

const networks = new Map();
let last = Promise.resolve();

function network(packed) {
  if (!networks.has(packed)) {
    networks.set(packed, unpack(packed).then((halves) => {
      const bytes = new Uint8Array(halves.length), middle = Math.ceil(bytes.length / 2);
      for (let i = 0; i < bytes.length; i += 1) bytes[i] = halves[(i >> 1) + (i & 1 ? middle : 0)];
      return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    }));
  }
  return networks.get(packed);
}

// `inputs`, in the order of the network's inputs, are rows of numbers or one-hot labels.
function run(packed, ...inputs) {
  last = last.catch(() => {}).then(async () => {
    const session = await network(packed);
    const feeds = session.inputNames.map((name, i) => {
      const shape = [inputs[i].length, ...(inputs[i].shape ?? [inputs[i][0].length])];
      return [name, new ort.Tensor("float32", Float32Array.from(inputs[i].flat()), shape)];
    });
    return (await session.run(Object.fromEntries(feeds)))[session.outputNames[0]].data;
  });
  return last;
}

const oneHot = (label, count) => Array.from({ length: count }, (_, i) => Number(i === label));

// Pictures.

function paint(canvas, pixels, [height, width, channels]) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    for (let c = 0; c < 3; c += 1) {
      image.data[4 * i + c] = Math.round(255 * pixels[channels * i + (channels === 1 ? 0 : c)]);
    }
    image.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
}

// Calls `render` after each change. Changes that arrive while it is busy lead to one more call.
const working = new Set();
function follow(render) {
  let again = false, work = null;
  const repeat = async () => {
    while (again) {
      again = false;
      await render();
    }
  };
  return () => {
    again = true;
    work ??= repeat().catch(fail).finally(() => {
      working.delete(work);
      work = null;
    });
    working.add(work);
    return work;
  };
}

function fail(error) {
  status.textContent = `The explorer does not work here: ${error.message}`;
  status.hidden = false;
  console.error(error);
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

function drawCode(model, source) {
  const noise = Array.from({ length: model.latentDim }, normal);
  if (source === "prior") return noise;
  const { weights, means, roots } = model.mixture;
  let rest = Math.random(), chosen = 0;
  while (chosen < weights.length - 1 && (rest -= weights[chosen]) > 0) chosen += 1;
  return means[chosen].map((mean, i) => mean + roots[chosen][i].reduce((sum, root, j) => sum + root * noise[j], 0));
}

function testImage(data, number) { // as numbers in [0, 1]
  const [height, width, channels] = data.shape, canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const left = (number % data.columns) * width, top = Math.floor(number / data.columns) * height;
  context.drawImage(data.atlas, left, top, width, height, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  return Array.from({ length: width * height * channels },
    (_, i) => rgba[4 * Math.floor(i / channels) + (i % channels)] / 255);
}

// The four panels. `state` holds what they show; `updates` redraws a panel after a change.

const state = { dataset: null, planar: [0, 0], image: 0, code: [], given: 0, conditional: [], drawn: [], pen: [14, 14] };
const part = (panel, selector) => panels[panel].querySelector(selector);
const pictureOf = (panel) => panels[panel].querySelectorAll(".explorer-picture");

const updates = {
  planar: follow(async () => {
    const { dataset } = state, { planar } = dataset.models, z = [...state.planar];
    paintMap();
    paint(pictureOf("planar")[0], await run(planar.decoder, [z]), dataset.shape);
    part("planar", "figcaption").textContent = `z = (${z.map((value) => value.toFixed(2)).join(", ")})`;
  }),
  large: follow(async () => {
    const { dataset } = state, { large } = dataset.models;
    paint(pictureOf("large")[0], await run(large.decoder, [state.code]), dataset.shape);
  }),
  conditional: follow(async () => {
    const { dataset } = state, { conditional } = dataset.models, { classes } = dataset;
    const labels = oneHot(state.given, classes.length);
    paint(pictureOf("conditional")[0], await run(conditional.decoder, [state.conditional], [labels]), dataset.shape);
    part("conditional", "figcaption").textContent = classes[state.given];
  }),
  draw: follow(async () => {
    const { dataset } = state, { large } = dataset.models, [source, target] = pictureOf("draw");
    paint(source, state.drawn, dataset.shape);
    if (document.activeElement === source) {
      source.getContext("2d").strokeStyle = "#ff7f0e";
      source.getContext("2d").strokeRect(state.pen[0] - 0.5, state.pen[1] - 0.5, 2, 2);
    }
    const image = Object.assign([state.drawn], { shape: dataset.shape });
    const z = await run(large.encoder, image);
    paint(target, await run(large.decoder, [[...z]]), dataset.shape);
  }),
};

function extent() {
  return Math.max(REACH, ...state.dataset.models.planar.codes.flat().map(Math.abs)) * 1.05;
}

function paintMap() {
  const canvas = part("planar", ".explorer-map"), side = canvas.clientWidth, ratio = window.devicePixelRatio;
  const { models, labels, colours } = state.dataset, scale = side / 2 / extent();
  canvas.width = canvas.height = side * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.translate(side / 2, side / 2);
  models.planar.codes.forEach(([x, y], i) => {
    context.fillStyle = colours[labels[i] % colours.length];
    context.beginPath();
    context.arc(x * scale, -y * scale, 3, 0, 2 * Math.PI);
    context.fill();
  });
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = 3;
  context.beginPath();
  context.arc(state.planar[0] * scale, -state.planar[1] * scale, 8, 0, 2 * Math.PI);
  context.stroke();
}

function place(event, canvas, half) { // in both axes from -half to half, y upwards
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height].map(
    (share) => half * Math.min(1, Math.max(-1, 2 * share - 1)));
}

function showNearest([x, y]) {
  const { models, labels, classes, shape } = state.dataset;
  const far = models.planar.codes.map(([a, b]) => Math.hypot(a - x, b - y));
  const nearest = far.indexOf(Math.min(...far));
  paint(part("planar", ".explorer-thumbnail"), testImage(state.dataset, nearest), shape);
  part("planar", "figure:last-child figcaption").textContent = `nearest test image: ${classes[labels[nearest]]}`;
}

function onKeys(canvas, act) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in steps) && event.key !== " ") return;
    event.preventDefault();
    act(steps[event.key], event);
  });
}

function setUpMap() {
  const canvas = part("planar", ".explorer-map");
  const move = (z) => {
    state.planar = z;
    showNearest(z);
    updates.planar();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    move(place(event, canvas, extent()));
  });
  canvas.addEventListener("pointermove", (event) => {
    const z = place(event, canvas, extent());
    if (event.buttons) move(z); else showNearest(z);
  });
  onKeys(canvas, (step, event) => {
    const size = (event.shiftKey ? 0.5 : 0.1), edge = extent();
    if (step) move(state.planar.map((value, i) => Math.min(edge, Math.max(-edge, value + size * step[i]))));
  });
  new ResizeObserver(() => state.dataset?.models.planar && paintMap()).observe(canvas);
  const theme = { attributeFilter: ["data-theme"] };
  new MutationObserver(() => state.dataset?.models.planar && paintMap()).observe(document.documentElement, theme);
}

function showSliders() {
  const { order, nats } = state.dataset.models.large;
  part("large", ".explorer-sliders").replaceChildren(...order.map((dimension, i) => {
    const row = document.createElement("label"), input = document.createElement("input");
    const value = document.createElement("output");
    Object.assign(input, { type: "range", min: -REACH, max: REACH, step: 0.05 });
    input.dataset.dimension = dimension;
    input.addEventListener("input", () => {
      state.code[dimension] = Number(input.value);
      value.textContent = state.code[dimension].toFixed(2);
      updates.large();
    });
    row.append(`z${dimension + 1}, ${nats[i].toFixed(2)} nats`, input, value);
    return row;
  }));
}

function setCode(code, caption) {
  state.code = [...code];
  for (const input of panels.large.querySelectorAll("input[type=range]")) {
    input.value = code[input.dataset.dimension];
    input.nextSibling.textContent = code[input.dataset.dimension].toFixed(2);
  }
  part("large", "figcaption").textContent = caption;
  updates.large();
}

function showImage(number) {
  const { large } = state.dataset.models;
  state.image = number % large.codes.length;
  setCode(large.codes[state.image], `reconstruction of test image ${state.image + 1}`);
}

function setUpSliders() {
  part("large", "[data-act=sample]").addEventListener("click", () => {
    const source = part("large", "input[name=source]:checked").value;
    setCode(drawCode(state.dataset.models.large, source), `sample from the ${source}`);
  });
  part("large", "[data-act=next]").addEventListener("click", () => showImage(state.image + 1));
}

function setUpClasses() {
  part("conditional", "[data-act=sample]").addEventListener("click", () => {
    state.conditional = drawCode(state.dataset.models.conditional, "prior");
    updates.conditional();
  });
}

function showChoice(fieldset, name, texts, chosen, act) { // a radio button for each text
  const labels = texts.map((text, i) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name, value: i, checked: i === chosen });
    input.addEventListener("change", () => act(i));
    label.append(input, text);
    return label;
  });
  fieldset.replaceChildren(fieldset.querySelector("legend"), ...labels);
}

function setUpDrawing() {
  const [canvas] = pictureOf("draw");
  let number = 0;
  const restore = () => {
    state.drawn = testImage(state.dataset, number);
    updates.draw();
  };
  const mark = () => {
    const [height, width, channels] = state.dataset.shape, [left, top] = state.pen;
    const grey = Number(part("draw", "input[name=pen]:checked").value);
    for (const [x, y] of [[left, top], [left + 1, top], [left, top + 1], [left + 1, top + 1]]) {
      if (x < width && y < height) state.drawn.fill(grey, channels * (y * width + x), channels * (y * width + x + 1));
    }
    updates.draw();
  };
  const stroke = (event) => {
    const box = canvas.getBoundingClientRect(), [height, width] = state.dataset.shape;
    const x = Math.floor((event.clientX - box.left) / box.width * width);
    const y = Math.floor((event.clientY - box.top) / box.height * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    state.pen = [x, y];
    mark();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
  onKeys(canvas, (step) => {
    const [height, width] = state.dataset.shape;
    if (!step) return mark();
    const [x, y] = [state.pen[0] + step[0], state.pen[1] - step[1]];
    state.pen = [Math.min(width - 2, Math.max(0, x)), Math.min(height - 2, Math.max(0, y))];
    updates.draw();
  });
  part("draw", "[data-act=restore]").addEventListener("click", restore);
  part("draw", "[data-act=next]").addEventListener("click", () => {
    number = (number + 1) % state.dataset.labels.length;
    restore();
  });
  return restore;
}

async function choose(name) {
  const dataset = await load(name), { models, classes, colours } = dataset;
  dataset.atlas ??= await new Promise((resolve, reject) => {
    const atlas = new Image();
    Object.assign(atlas, { onload: () => resolve(atlas), onerror: reject, src: dataset.images });
  });
  state.dataset = dataset;
  const shown = { ...models, draw: models.large?.encoder };
  for (const [panel, element] of Object.entries(panels)) {
    element.hidden = element.closest("section").hidden = !shown[panel];
  }
  if (models.planar) {
    part("planar", ".explorer-legend").replaceChildren(...classes.map((text, i) => {
      const item = document.createElement("li"), dot = document.createElement("span");
      dot.style.background = colours[i % colours.length];
      item.append(dot, text);
      return item;
    }));
    state.planar = [...models.planar.codes[0]];
    showNearest(state.planar);
    await updates.planar();
  }
  if (models.large) {
    showSliders();
    showImage(0);
  }
  if (models.conditional) {
    showChoice(part("conditional", "fieldset"), "class", classes, 0, (label) => {
      state.given = label;
      updates.conditional();
    });
    state.given = 0;
    state.conditional = Array(models.conditional.latentDim).fill(0);
    updates.conditional();
  }
  if (shown.draw) restoreDrawing();
}

let restoreDrawing;

async function start() {
  if (!window.EXPLORER?.index || !Object.keys(EXPLORER.index).length) {
    throw new Error("this copy of the site was built without models.");
  }
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly.");
  if (typeof DecompressionStream !== "function") throw new Error("this browser is too old.");
  await startRuntime();
  setUpMap();
  setUpSliders();
  setUpClasses();
  restoreDrawing = setUpDrawing();
  const names = Object.keys(EXPLORER.index);
  showChoice(document.getElementById("explorer-dataset"), "dataset", Object.values(EXPLORER.index), 0,
    (i) => choose(names[i]).catch(fail));
  await choose(names[0]);
  status.hidden = true;
}

const idle = async () => {
  while (working.size) await Promise.all(working);
};
window.explorer = { run, load, state, idle, ready: start().catch(fail) };
