// The masks in 3D, by niivue: one volume of colours, smoothed, which it renders with light.
class Solid {
  #nv = null;
  #asked = 0;

  constructor(place, viewer) {
    [this.place, this.viewer] = [place, viewer];
    this.canvas = place.querySelector("canvas");
    this.told = place.querySelector(".solid-told");
    const turns = { ArrowLeft: [-15, 0], ArrowRight: [15, 0], ArrowUp: [0, 15], ArrowDown: [0, -15] };
    this.canvas.addEventListener("keydown", (event) => {
      if (!(event.key in turns)) return;
      event.preventDefault();
      const { renderAzimuth, renderElevation } = this.#nv.scene;
      const [around, up] = turns[event.key];
      this.#nv.setRenderAzimuthElevation(renderAzimuth + around, clamp(renderElevation + up, -90, 90));
    }, true);
  }

  // Unpack and start niivue, when it is asked for; false where the browser cannot draw in 3D.
  async start() {
    if (this.#nv) return true;
    if (!document.createElement("canvas").getContext("webgl2")) {
      this.told.textContent = "This browser has no WebGL 2, which the 3D view needs. The slices show the same masks.";
      return false;
    }
    this.told.textContent = "Loading …";
    const source = new TextDecoder().decode(await gunzip($("niivue").textContent));
    document.head.append(make("script", { textContent: source }));
    const nv = new globalThis.niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairWidth: 0, show3Dcrosshair: false, isOrientCube: true,
      dragAndDropEnabled: false, loadingText: "", logLevel: "error",
    });
    this.canvas.hidden = false;
    await nv.attachToCanvas(this.canvas);
    nv.setSliceType(nv.sliceTypeRender);
    nv.setRenderAzimuthElevation(160, 15);
    this.#nv = nv;
    this.told.hidden = true;
    return true;
  }

  // Draw the masks that are shown now; of several calls at once the last one counts.
  async draw() {
    if (!this.#nv) return;
    const turn = (this.#asked += 1);
    const { shape, spacing } = this.viewer.entry;
    const [z, y, x] = spacing;
    const affine = [-x, 0, 0, 0, 0, -y, 0, 0, 0, 0, z, 0, 0, 0, 0, 1];  // LPS to niivue's RAS
    const { NVImage } = globalThis.niivue;
    const bytes = NVImage.createNiftiArray(shape.toReversed(), [x, y, z], affine, 2304, this.#colours());
    const image = await NVImage.new(bytes.buffer, "masks.nii", "gray", 1, null);
    if (turn !== this.#asked) return;
    for (const old of [...this.#nv.volumes]) this.#nv.removeVolume(old);
    this.#nv.addVolume(image);
    await this.#nv.setVolumeRenderIllumination(0.6);
    this.canvas.dataset.drawn = turn;
  }

  // Red, green, blue and opacity of every voxel; beside methods, the reference alone is a veil.
  #colours() {
    const names = this.viewer.visible();
    const { masks } = this.viewer.pixels;
    const total = masks.get(REFERENCE).length;
    const found = new Uint8Array(4 * total);
    const weights = new Float32Array(total);
    const sums = new Float32Array(3 * total);
    for (const name of names) {
      const veil = name === REFERENCE && names.length > 1;
      const share = veil ? 0.25 : 1;
      const colour = rgb(this.viewer.colours.get(name));
      const soft = this.#smooth(masks.get(name));
      for (let i = 0; i < total; i += 1) {
        if (!soft[i]) continue;
        weights[i] += share * soft[i];
        for (let k = 0; k < 3; k += 1) sums[3 * i + k] += share * soft[i] * colour[k];
        found[4 * i + 3] = Math.max(found[4 * i + 3], 255 * soft[i] * (veil ? 0.1 : 1));
      }
    }
    for (let i = 0; i < total; i += 1) {
      if (weights[i]) for (let k = 0; k < 3; k += 1) found[4 * i + k] = sums[3 * i + k] / weights[i];
    }
    return found;
  }

  // 1, 2, 1 along each axis, so that surfaces do not show the edges of voxels.
  #smooth(mask) {
    let found = Float32Array.from(mask);
    this.viewer.entry.shape.forEach((count, axis) => {
      const stride = this.viewer.strides[axis];
      const next = new Float32Array(found.length);
      for (let i = 0; i < found.length; i += 1) {
        const place = Math.floor(i / stride) % count;
        const before = place > 0 ? found[i - stride] : found[i];
        const after = place < count - 1 ? found[i + stride] : found[i];
        next[i] = (before + 2 * found[i] + after) / 4;
      }
      found = next;
    });
    return found;
  }
}
