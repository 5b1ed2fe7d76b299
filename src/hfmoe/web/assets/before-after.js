// <before-after>: two pictures of one size on top of each other at 100 % (a pixel of the picture is one of the
// page), with a line between before and after. Drag the line, or move it with the arrow keys; the rest scrolls.
// Children with slot="before" and slot="after" are the pictures: img or canvas.
const STYLE = `
:host { display: block; --line: 50%; }
.view { position: relative; overflow: auto; max-height: 75vh; border: 1px solid #767676; background:
  repeating-conic-gradient(#ccc 0 25%, #fff 0 50%) 0 0 / 16px 16px; }
.view:focus-visible, input:focus-visible { outline: 3px solid var(--focus, #1d4ed8); outline-offset: 2px; }
.stack { position: relative; width: max-content; }
::slotted(*) { display: block !important; max-width: none !important; width: auto; height: auto; }
::slotted([slot=after]) { position: absolute !important; inset: 0 auto auto 0; clip-path: inset(0 0 0 var(--cut, 50%)); }
.line { position: absolute; top: 0; width: 25px; margin-left: -13px; height: 100%; cursor: ew-resize;
  touch-action: none; }
.line::after { content: ""; position: absolute; left: 11px; width: 3px; height: 100%; background: #fff;
  box-shadow: 0 0 0 1px #000; }
label { display: flex; gap: .5rem; align-items: center; margin: .5rem 0; }
input { flex: 1; min-width: 6rem; height: 24px; }
`;

class BeforeAfter extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = `<style>${STYLE}</style>
      <label><span>Before</span><input type="range" min="0" max="100" step="1" value="50"
        aria-label="Line between before and after"><span>After</span></label>
      <div class="view" tabindex="0" role="group" aria-label="Before and after, at 100 %">
        <div class="stack"><slot name="before"></slot><slot name="after"></slot><div class="line"></div></div></div>`;
    this.view = root.querySelector(".view");
    this.line = root.querySelector(".line");
    this.range = root.querySelector("input");
    this.range.addEventListener("input", () => this.place());
    this.view.addEventListener("scroll", () => this.place());
    this.line.addEventListener("pointerdown", (event) => this.line.setPointerCapture(event.pointerId));
    this.line.addEventListener("pointermove", (event) => {
      if (!this.line.hasPointerCapture(event.pointerId)) return;
      const box = this.view.getBoundingClientRect();
      this.range.value = (100 * (event.clientX - box.left)) / this.view.clientWidth;
      this.place();
    });
    this.observer = new ResizeObserver(() => this.place());
    this.observer.observe(this.view);
    this.observer.observe(root.querySelector(".stack"));
  }

  disconnectedCallback() {
    this.observer?.disconnect();
  }

  // The line stays where it is in the view when the pictures are scrolled.
  place() {
    const stack = this.line.parentElement;
    const shown = Math.min(this.view.clientWidth, stack.clientWidth);
    const x = this.view.scrollLeft + (shown * this.range.value) / 100;
    this.line.style.left = `${x}px`;
    this.style.setProperty("--cut", `${x}px`);
  }
}
customElements.get("before-after") || customElements.define("before-after", BeforeAfter);
