// Three slices through a case: arrays are (z, y, x) in LPS, shown the radiological way.
const VIEWS = [
  { name: "Axial", rows: 1, columns: 2, flip: false, edges: ["R", "L", "A", "P"] },
  { name: "Coronal", rows: 0, columns: 2, flip: true, edges: ["R", "L", "H", "F"] },
  { name: "Sagittal", rows: 0, columns: 1, flip: true, edges: ["A", "P", "H", "F"] },
];
const REFERENCE = "reference";
const THIN = 1.5;  // width of a method's line
const ADDED = "#56b4e9";  // told apart from the reference's yellow by every eye
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const rgb = (hex) => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));

// Grey value of a code: linear between the marks.
function valueOf(channel, code) {
  const { marks, values } = channel;
  const i = clamp(marks.findIndex((mark) => code <= mark), 1, marks.length - 1);
  const share = (code - marks[i - 1]) / (marks[i] - marks[i - 1]);
  return values[i - 1] + share * (values[i] - values[i - 1]);
}

// Bytes from base64 of gzip.
async function gunzip(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The bytes that `reports.cases.encoding.pack` made: codes by channel, then masks, a bit a voxel.
async function unpack(text, entry) {
  const bytes = await gunzip(text);
  const count = entry.shape[0] * entry.shape[1] * entry.shape[2];
  let start = 0;
  const take = (length) => bytes.subarray(start, (start += length));
  const channels = entry.channels.map(() => take(count));
  const masks = new Map([REFERENCE, ...entry.masks].map((name) => {
    const bits = take(Math.ceil(count / 8));
    const mask = new Uint8Array(count);
    for (let i = 0; i < count; i += 1) mask[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
    return [name, mask];
  }));
  return { channels, masks };
}

class Viewer {
  // `colours`: of the reference and the methods; `dashes`: dash and gap of the methods' lines, in
  // widths, empty for a line drawn through; `borders`: colours around lines that tissue would hide;
  // `moved` is called after every change of place.
  constructor(places, colours, dashes, borders, moved) {
    this.colours = colours;
    this.dashes = dashes;
    this.borders = borders;
    this.moved = moved;
    this.drawn = "line";
    this.errorOf = null;
    this.smooth = false;
    this.cross = true;
    this.shown = new Set();
    this.views = VIEWS.map((about, axis) => ({
      ...about, axis, canvas: places[axis], plane: document.createElement("canvas"),
    }));
    for (const view of this.views) this.#listen(view);
    new ResizeObserver(() => this.draw()).observe(places[0]);
  }

  open(entry, pixels) {
    this.entry = entry;
    this.pixels = pixels;
    this.channel = 0;
    this.strides = [entry.shape[1] * entry.shape[2], entry.shape[2], 1];
    this.begin();
  }

  // The guiding slice; in the other views the middle of the reference on it.
  begin() {
    const { axis, index } = this.entry.guide;
    const reference = this.pixels.masks.get(REFERENCE);
    const sums = [0, 0, 0, 0];
    for (let i = 0; i < reference.length; i += 1) {
      if (!reference[i]) continue;
      const place = this.#place(i);
      if (place[axis] !== index) continue;
      place.forEach((value, a) => { sums[a] += value; });
      sums[3] += 1;
    }
    this.at = this.entry.shape.map((size, a) =>
      a === axis ? index : sums[3] ? Math.round(sums[a] / sums[3]) : size >> 1);
    this.#changed();
  }

  #place(i) {
    const [a, b] = this.strides;
    return [Math.floor(i / a), Math.floor((i % a) / b), i % b];
  }

  go(axis, index) {
    this.at[axis] = clamp(index, 0, this.entry.shape[axis] - 1);
    this.#changed();
  }

  setWindow(low, high) {
    this.window = [low, Math.max(high, low + 1e-9)];
    const about = this.entry.channels[this.channel];
    this.grey = Uint8ClampedArray.from({ length: 256 }, (_, code) =>
      (255 * (valueOf(about, code) - low)) / (this.window[1] - low));
    this.draw();
  }

  // What lies under the crosshair: grey value, and the names of the masks.
  get here() {
    const i = this.at.reduce((sum, value, axis) => sum + value * this.strides[axis], 0);
    const value = valueOf(this.entry.channels[this.channel], this.pixels.channels[this.channel][i]);
    return { value, masks: [...this.pixels.masks].filter(([, mask]) => mask[i]).map(([name]) => name) };
  }

  // Whether a mask has a voxel in the slice of a view.
  touches(name, axis) {
    const mask = this.pixels.masks.get(name);
    return mask !== undefined && this.#any(this.views[axis], (i) => mask[i]);
  }

  #any(view, test) {
    const [rows, columns] = [view.rows, view.columns].map((axis) => this.entry.shape[axis]);
    const start = this.at[view.axis] * this.strides[view.axis];
    for (let r = 0; r < rows; r += 1)
      for (let c = 0; c < columns; c += 1)
        if (test(start + r * this.strides[view.rows] + c * this.strides[view.columns])) return true;
    return false;
  }

  #changed() {
    this.draw();
    this.moved();
  }

  draw() {
    if (!this.entry || !this.grey) return;
    for (const view of this.views) this.#draw(view);
  }

  // Where a view lies in its canvas, all views at the same scale.
  #layout(view) {
    const size = Math.max(Math.round(view.canvas.clientWidth * devicePixelRatio), 1);
    const mm = this.entry.shape.map((count, axis) => count * this.entry.spacing[axis]);
    const scale = size / Math.max(...mm);
    const [height, width] = [mm[view.rows] * scale, mm[view.columns] * scale];
    return { size, height, width, top: (size - height) / 2, left: (size - width) / 2 };
  }

  #draw(view) {
    const place = this.#layout(view);
    const rows = this.entry.shape[view.rows];
    const columns = this.entry.shape[view.columns];
    const start = this.at[view.axis] * this.strides[view.axis];
    const across = this.strides[view.columns];
    // First voxel of each row from the top, and how far below it the next row lies.
    const down = view.flip ? -this.strides[view.rows] : this.strides[view.rows];
    const first = view.flip ? start + (rows - 1) * this.strides[view.rows] : start;
    const plane = { rows, columns, first, down, across };
    view.canvas.width = view.canvas.height = place.size;
    view.plane.width = columns;
    view.plane.height = rows;
    view.plane.getContext("2d").putImageData(this.#image(plane), 0, 0);
    const context = view.canvas.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, place.size, place.size);
    context.imageSmoothingEnabled = this.smooth;
    context.drawImage(view.plane, place.left, place.top, place.width, place.height);
    const unit = place.size / 300;
    if (this.drawn === "line") this.#outlines(context, plane, place);
    this.#prompt(context, view, place);
    if (this.cross) this.#crosshair(context, view, place);
    this.#letters(context, view, place, clamp(12 * unit, 10, 26));
  }

  #image({ rows, columns, first, down, across }) {
    const image = new ImageData(columns, rows);
    const codes = this.pixels.channels[this.channel];
    const tints = this.#tints();
    let to = 0;
    for (let r = 0; r < rows; r += 1) {
      for (let c = 0, i = first + r * down; c < columns; c += 1, i += across, to += 4) {
        const grey = this.grey[codes[i]];
        image.data.fill(grey, to, to + 3);
        image.data[to + 3] = 255;
        for (const { inside, colour } of tints) {
          if (inside(i)) {
            for (let k = 0; k < 3; k += 1) image.data[to + k] = 0.55 * image.data[to + k] + 0.45 * colour[k];
          }
        }
      }
    }
    return image;
  }

  // Areas to be tinted: whole masks, or what one method missed and what it drew too much.
  #tints() {
    const { masks } = this.pixels;
    if (this.drawn === "fill") {
      return this.visible().map((name) => {
        const mask = masks.get(name);
        return { inside: (i) => mask[i], colour: rgb(this.colours.get(name)) };
      });
    }
    if (this.drawn !== "error" || !masks.has(this.errorOf)) return [];
    const [truth, mask] = [masks.get(REFERENCE), masks.get(this.errorOf)];
    return [
      { inside: (i) => truth[i] && !mask[i], colour: rgb(this.colours.get(REFERENCE)) },
      { inside: (i) => mask[i] && !truth[i], colour: rgb(ADDED) },
    ];
  }

  visible() {
    return [...this.pixels.masks.keys()].filter((name) => this.shown.has(name));
  }

  // Along the edges of voxels; the reference is wide, so that it shows where a method agrees.
  #outlines(context, plane, place) {
    const [wide, thin] = [3.4, THIN].map((width) => width * devicePixelRatio);
    for (const name of this.visible()) {
      const path = this.#outline(this.pixels.masks.get(name), plane, place);
      const width = name === REFERENCE ? wide : thin;
      const border = this.borders.get(name);
      if (border) this.#stroke(context, path, border, width + 1.5 * devicePixelRatio);
      this.#stroke(context, path, this.colours.get(name), width, this.dashes.get(name));
    }
  }

  #stroke(context, path, colour, width, dash = []) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash.map((length) => length * width));
    context.stroke(path);
    context.setLineDash([]);
  }

  // Closed lines with the mask on their right, so that dashes go on around corners.
  #outline(mask, { rows, columns, first, down, across }, { left, top, width, height }) {
    const next = new Map();  // by corner: the corners that edges lead to from there
    const corner = (c, r) => r * (columns + 1) + c;
    const line = (c0, r0, c1, r1) => {
      const start = corner(c0, r0);
      if (!next.has(start)) next.set(start, []);
      next.get(start).push(corner(c1, r1));
    };
    for (let r = 0; r < rows; r += 1) {
      for (let c = 0, i = first + r * down; c < columns; c += 1, i += across) {
        if (!mask[i]) continue;
        if (c === 0 || !mask[i - across]) line(c, r + 1, c, r);
        if (c === columns - 1 || !mask[i + across]) line(c + 1, r, c + 1, r + 1);
        if (r === 0 || !mask[i - down]) line(c, r, c + 1, r);
        if (r === rows - 1 || !mask[i + down]) line(c + 1, r + 1, c, r + 1);
      }
    }
    const path = new Path2D();
    const x = (at) => left + ((at % (columns + 1)) * width) / columns;
    const y = (at) => top + (Math.floor(at / (columns + 1)) * height) / rows;
    for (const [start, ends] of next) {
      while (ends.length) {
        path.moveTo(x(start), y(start));
        for (let at = ends.pop(); at !== start; at = next.get(at).pop()) path.lineTo(x(at), y(at));
        path.closePath();
      }
    }
    return path;
  }

  // The box of the 2D prompt, on the guiding slice alone.
  #prompt(context, view, { left, top, width, height }) {
    const { axis, index, box } = this.entry.guide;
    if (!box || axis !== view.axis || this.at[axis] !== index) return;
    const [rows, columns] = [this.entry.shape[view.rows], this.entry.shape[view.columns]];
    let [r0, r1] = [box[2 * view.rows], box[2 * view.rows + 1]];
    if (view.flip) [r0, r1] = [rows - r1, rows - r0];
    const [c0, c1] = [box[2 * view.columns], box[2 * view.columns + 1]];
    const [dx, dy] = [width / columns, height / rows];
    context.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.2 * devicePixelRatio;
    context.strokeRect(left + c0 * dx, top + r0 * dy, (c1 - c0) * dx, (r1 - r0) * dy);
    context.setLineDash([]);
  }

  #crosshair(context, view, { left, top, width, height }) {
    const [rows, columns] = [this.entry.shape[view.rows], this.entry.shape[view.columns]];
    const row = view.flip ? rows - 1 - this.at[view.rows] : this.at[view.rows];
    const x = left + ((this.at[view.columns] + 0.5) * width) / columns;
    const y = top + ((row + 0.5) * height) / rows;
    context.strokeStyle = "rgb(255 255 255 / 45%)";
    context.lineWidth = devicePixelRatio;
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(left + width, y);
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
  }

  #letters(context, view, { left, top, width, height }, size) {
    const [start, end, above, below] = view.edges;
    context.font = `${size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = size / 5;
    context.strokeStyle = "#000";
    context.fillStyle = "#fff";
    const [x, y] = [left + width / 2, top + height / 2];
    const spots = [[start, left + size, y], [end, left + width - size, y], [above, x, top + size], [below, x, top + height - size]];
    for (const [letter, px, py] of spots) {
      context.strokeText(letter, px, py);
      context.fillText(letter, px, py);
    }
  }

  #listen(view) {
    const { canvas, axis } = view;
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 };
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.go(axis, this.at[axis] + steps[event.key]);
    });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      this.go(axis, this.at[axis] - Math.sign(event.deltaY));
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    let from = null;
    const follow = (event) => (from ? this.#widen(event, from) : this.#point(event, view));
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button === 1) return;
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      const widen = event.shiftKey || event.button === 2;
      from = widen ? { x: event.clientX, y: event.clientY, window: this.window } : null;
      if (!widen) follow(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) follow(event);
    });
  }

  // Put the crosshair where the pointer is.
  #point(event, view) {
    const place = this.#layout(view);
    const [rows, columns] = [this.entry.shape[view.rows], this.entry.shape[view.columns]];
    const row = Math.floor(((event.offsetY * devicePixelRatio - place.top) / place.height) * rows);
    const column = Math.floor(((event.offsetX * devicePixelRatio - place.left) / place.width) * columns);
    const from = view.flip ? rows - 1 - row : row;
    this.at[view.rows] = clamp(from, 0, rows - 1);
    this.at[view.columns] = clamp(column, 0, columns - 1);
    this.#changed();
  }

  // To the right: wider; upward: a lower level, which is brighter.
  #widen(event, from) {
    const [low, high] = from.window;
    const width = Math.max((high - low) * 1.01 ** (event.clientX - from.x), 1e-9);
    const level = (low + high) / 2 + ((event.clientY - from.y) / 300) * (high - low);
    this.setWindow(level - width / 2, level + width / 2);
    this.moved();
  }
}
