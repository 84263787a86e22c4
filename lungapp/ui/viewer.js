/* The slice viewer: zoom, window, layout and layers, all in the browser. It asks no server and stores nothing.

   <la-viewer data-key data-rows data-columns data-hu> holds stacks of pictures, and tools whose `data-do` names what
   they do. Gradio does not put a new element into the page for a new answer: it changes the old one until it equals the
   new HTML, so `data-stamp`, which no two answers share, says when there is another. `data-hu` is there for slices in Hounsfield units only: zlib, little-endian int16, each pixel as the
   difference from the one before. Every sentence stands in the HTML (viewer.py). */
"use strict";
(() => {
  const MOST = 8;
  const STEP = 1.25;
  const FREE = "free";

  // What a reader has set. The window and the layout stay for the next slice; the zoom is of one slice.
  const set = { key: "", zoom: 1, x: 0, y: 0, layout: "side", heat: true, outline: false, split: 50 };
  const shown = { preset: "", centre: 0, width: 1 };

  const limited = (value, low, high) => Math.min(Math.max(value, low), high);

  async function unpacked(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const pixels = new Int16Array(await new Response(stream).arrayBuffer());
    for (let i = 1; i < pixels.length; i += 1) pixels[i] += pixels[i - 1]; // wraps round as NumPy's did
    return pixels;
  }

  class Viewer extends HTMLElement {
    static observedAttributes = ["data-stamp"];

    connectedCallback() {
      this.pointers = new Map();
      this.addEventListener("click", (event) => {
        this.pressed(event.target.closest("button[data-do]"));
        this.switched = event.target.closest("button[data-map]")?.dataset.map;
      });
      this.addEventListener("input", (event) => this.changed(event.target));
      this.addEventListener("keydown", (event) => this.typed(event));
      this.addEventListener("wheel", (event) => this.turned(event), { passive: false });
      this.addEventListener("pointerdown", (event) => this.held(event));
      this.addEventListener("pointermove", (event) => this.moved(event));
      for (const end of ["pointerup", "pointercancel"]) {
        this.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
      }
      this.renew();
    }

    attributeChangedCallback(name, old) {
      if (old !== null) queueMicrotask(() => this.renew()); // once the rest of it is changed, too
    }

    renew() {
      if (set.key !== this.dataset.key) Object.assign(set, { key: this.dataset.key, zoom: 1, x: 0, y: 0 });
      this.pixels = undefined;
      this.restore();
      this.place();
      if (this.switched) this.querySelector(`[data-map="${this.switched}"]`)?.focus(); // its button is another one now
      this.switched = undefined;
    }

    tool(name) {
      return this.querySelector(`[data-do="${name}"]`);
    }

    restore() {
      for (const tool of this.querySelectorAll('[data-do="layout"]')) tool.checked = tool.value === set.layout;
      for (const name of ["heat", "outline"]) if (this.tool(name)) this.tool(name).checked = set[name];
      if (this.tool("split")) this.tool("split").value = set.split;
      if (!this.dataset.hu) return;
      const preset = this.tool("preset");
      if (shown.preset) preset.value = shown.preset;
      if (shown.preset === FREE) {
        this.tool("centre").value = shown.centre;
        this.tool("width").value = shown.width;
      } else {
        this.named(preset);
      }
      if (preset.selectedIndex > 0) this.paint();
    }

    place() {
      const least = 100 * (1 - set.zoom);
      set.x = limited(set.x, least, 0);
      set.y = limited(set.y, least, 0);
      const style = { zoom: set.zoom, x: `${set.x}%`, y: `${set.y}%`, split: `${set.split}%` };
      for (const [name, value] of Object.entries(style)) this.style.setProperty(`--la-${name}`, value);
      this.dataset.layout = set.layout;
      this.classList.toggle("la-plain", !set.heat);
      this.classList.toggle("la-outlined", set.outline);
      this.classList.toggle("la-zoomed", set.zoom > 1);
      const told = this.querySelector("output");
      const text = told.dataset.text.replace("{}", Math.round(100 * set.zoom));
      if (told.textContent !== text) told.textContent = text;
    }

    /* Zoom by `factor` about a point of the stack, both in [0, 1]; the middle unless told. */
    zoom(factor, across = 0.5, down = 0.5) {
      const next = limited(set.zoom * factor, 1, MOST);
      set.x = 100 * across - ((100 * across - set.x) * next) / set.zoom;
      set.y = 100 * down - ((100 * down - set.y) * next) / set.zoom;
      set.zoom = Math.abs(next - 1) < 0.01 ? 1 : next;
      this.place();
    }

    pan(across, down) {
      set.x += across;
      set.y += down;
      this.place();
    }

    pressed(button) {
      if (!button) return;
      if (button.dataset.do === "whole") this.zoom(0);
      else this.zoom(button.dataset.do === "nearer" ? STEP : 1 / STEP);
    }

    changed(tool) {
      const name = tool.dataset.do;
      if (name === "layout") set.layout = tool.value;
      else if (name === "split") set.split = Number(tool.value);
      else if (name === "heat" || name === "outline") set[name] = tool.checked;
      else if (name === "preset") return this.named(tool), this.paint();
      else if (name === "centre" || name === "width") {
        this.tool("preset").value = FREE;
        return this.paint();
      }
      this.place();
    }

    typed(event) {
      if (!event.target.classList.contains("la-stack") || event.ctrlKey || event.metaKey || event.altKey) return;
      const steps = { ArrowLeft: [10, 0], ArrowRight: [-10, 0], ArrowUp: [0, 10], ArrowDown: [0, -10] };
      if (event.key === "+" || event.key === "=") this.zoom(STEP);
      else if (event.key === "-") this.zoom(1 / STEP);
      else if (event.key === "0") this.zoom(0);
      else if (event.key in steps && set.zoom > 1) this.pan(...steps[event.key]);
      else return;
      event.preventDefault();
    }

    /* The wheel scrolls the page until a picture was clicked, so that nobody is caught on the way past it. */
    turned(event) {
      const stack = event.target.closest(".la-stack");
      if (!stack || !(event.ctrlKey || stack === document.activeElement)) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, ...this.where(stack, event));
    }

    where(stack, event) {
      const box = stack.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    held(event) {
      const stack = event.target.closest(".la-stack");
      if (!stack || event.button) return;
      this.pointers.set(event.pointerId, this.where(stack, event));
      if (set.zoom > 1) stack.setPointerCapture(event.pointerId);
    }

    /* One pointer drags, two pinch. */
    moved(event) {
      const stack = event.target.closest(".la-stack");
      const old = this.pointers.get(event.pointerId);
      if (!stack || !old) return;
      const now = this.where(stack, event);
      this.pointers.set(event.pointerId, now);
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      if (!others.length) {
        this.pan(100 * (now[0] - old[0]), 100 * (now[1] - old[1]));
        return;
      }
      const [across, down] = others[0][1];
      const apart = (point) => Math.hypot(point[0] - across, point[1] - down);
      if (apart(old) > 0.02) this.zoom(apart(now) / apart(old), (now[0] + across) / 2, (now[1] + down) / 2);
    }

    /* Writes a preset's centre and width into their fields. */
    named(preset) {
      const { centre, width } = preset.selectedOptions[0].dataset;
      if (centre === undefined) return;
      this.tool("centre").value = centre;
      this.tool("width").value = width;
    }

    async paint() {
      const preset = this.tool("preset");
      const centre = Number(this.tool("centre").value);
      const width = Math.max(1, Number(this.tool("width").value));
      Object.assign(shown, { preset: preset.value, centre, width });
      this.classList.toggle("la-windowed", preset.selectedIndex > 0 && "painted" in this.dataset);
      if (preset.selectedIndex === 0) return; // the picture as it came
      const stamp = this.dataset.stamp;
      this.pixels ??= unpacked(this.dataset.hu);
      const pixels = await this.pixels;
      if (stamp !== this.dataset.stamp || preset.selectedIndex === 0) return; // another slice, or another wish, by now
      const [rows, columns] = [Number(this.dataset.rows), Number(this.dataset.columns)];
      const picture = new ImageData(columns, rows);
      const grey = new Uint32Array(picture.data.buffer);
      const [low, scale] = [centre - width / 2, 255 / width];
      for (let i = 0; i < pixels.length; i += 1) {
        const level = Math.round(limited((pixels[i] - low) * scale, 0, 255));
        grey[i] = 0xff000000 | (level << 16) | (level << 8) | level;
      }
      for (const canvas of this.querySelectorAll("canvas")) canvas.getContext("2d").putImageData(picture, 0, 0);
      this.dataset.painted = `${centre} ${width}`;
      this.classList.add("la-windowed"); // not before: the canvas may still have held another slice
    }
  }

  if (!customElements.get("la-viewer")) customElements.define("la-viewer", Viewer);
})();
