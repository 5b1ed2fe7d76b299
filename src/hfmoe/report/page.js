document.querySelectorAll("#pictures .slider input").forEach((input) => {
  const steps = input.parentElement.dataset.steps.split(",");
  const shown = document.querySelectorAll("#pictures [data-step]");
  input.addEventListener("input", () => {
    shown.forEach((part) => { part.hidden = part.dataset.step !== steps[input.value]; });
  });
  input.hidden = false;
});
document.querySelectorAll(".viewer").forEach((viewer) => {
  const width = Number(viewer.dataset.width), height = Number(viewer.dataset.height);
  const make = (tag, className, parent, text = "") => {
    const part = document.createElement(tag);
    part.className = className;
    part.textContent = text;
    parent.append(part);
    return part;
  };

  const shots = viewer.querySelector(".shots");
  const bar = make("div", "controls", viewer), stage = make("div", "stage", viewer);
  viewer.prepend(bar, stage);
  const layers = Array.from(shots.querySelectorAll("figure"), (shot) => {
    const layer = make("div", "layer", stage);
    layer.title = shot.querySelector("figcaption").textContent;
    layer.dataset.label = shot.dataset.label;
    const image = shot.querySelector("img");
    image.draggable = false;
    image.style.width = `${width}px`;
    image.style.height = `${height}px`;
    layer.append(image);
    return layer;
  });
  shots.remove();
  const divider = make("div", "divider", stage);
  const tags = { left: make("div", "tag left", stage), right: make("div", "tag right", stage) };
  stage.tabIndex = 0;
  stage.setAttribute("role", "slider");
  stage.setAttribute("aria-valuemin", "0");
  stage.setAttribute("aria-valuemax", "100");

  const state = { left: 0, right: 1, split: 0.5, zoom: 0, x: 0, y: 0 };
  const fit = () => Math.min(stage.clientWidth / width, stage.clientHeight / height);
  const scale = () => state.zoom || fit();

  const draw = () => {
    stage.style.height = `${Math.max(160, Math.min(0.8 * innerHeight, (stage.clientWidth * height) / width))}px`;
    const size = scale(), room = [stage.clientWidth, stage.clientHeight], lengths = [width * size, height * size];
    [state.x, state.y] = [state.x, state.y].map((at, axis) =>
      lengths[axis] <= room[axis] ? (room[axis] - lengths[axis]) / 2 : Math.min(0, Math.max(room[axis] - lengths[axis], at)));
    const percent = 100 * state.split;
    layers.forEach((layer, index) => {
      const sides = [index === state.left, index === state.right];
      layer.hidden = !sides[0] && !sides[1];
      layer.style.clipPath = sides[0] && sides[1] ? "none"
        : sides[0] ? `inset(0 ${100 - percent}% 0 0)` : `inset(0 0 0 ${percent}%)`;
      const image = layer.firstChild;
      image.style.transform = `translate(${state.x}px, ${state.y}px) scale(${size})`;
      image.style.imageRendering = size * devicePixelRatio >= 2 ? "pixelated" : "auto";
    });
    divider.style.left = `${percent}%`;
    for (const side of ["left", "right"]) {
      tags[side].textContent = layers[state[side]].title;
      choices[side].value = state[side];
    }
    stage.classList.toggle("zoomed", state.zoom > 0);
    stage.setAttribute("aria-valuenow", Math.round(percent));
    stage.setAttribute("aria-label", `left: ${layers[state.left].title}; right: ${layers[state.right].title}`);
    shown.textContent = `${Math.round(100 * size * devicePixelRatio)} %`;
  };

  const zoomTo = (zoom, at = [stage.clientWidth / 2, stage.clientHeight / 2]) => {
    const before = scale(), whole = fit();
    const next = zoom ? Math.min(Math.max(zoom, Math.min(whole, 1 / devicePixelRatio)), Math.max(64, whole)) : whole;
    state.x = at[0] - ((at[0] - state.x) * next) / before;
    state.y = at[1] - ((at[1] - state.y) * next) / before;
    state.zoom = Math.abs(next / whole - 1) < 0.001 ? 0 : next;
    draw();
  };
  const split = (value) => { state.split = Math.min(1, Math.max(0, value)); draw(); };
  const move = (x, y) => { state.x += x; state.y += y; draw(); };
  const swap = () => { [state.left, state.right] = [state.right, state.left]; draw(); };
  const show = (top, left, tall, wide) => {
    state.zoom = Math.max(fit(), 0.7 * Math.min(stage.clientWidth / wide, stage.clientHeight / tall));
    state.x = stage.clientWidth / 2 - (left + wide / 2) * state.zoom;
    state.y = stage.clientHeight / 2 - (top + tall / 2) * state.zoom;
    state.split = 0.5;
    draw();
  };

  const button = (text, label, action) => {
    const part = make("button", "", bar, text);
    part.type = "button";
    part.setAttribute("aria-label", label);
    part.addEventListener("click", action);
  };
  const choices = Object.fromEntries(["left", "right"].map((side) => {
    const label = make("label", "", bar, `${side} `), choice = make("select", "", label);
    layers.forEach((layer, index) => { make("option", "", choice, layer.dataset.label).value = index; });
    choice.addEventListener("change", () => { state[side] = Number(choice.value); draw(); });
    return [side, choice];
  }));
  button("swap", "swap the sides", swap);
  button("−", "zoom out", () => zoomTo(scale() / 1.5));
  button("+", "zoom in", () => zoomTo(scale() * 1.5));
  button("fit", "fit the whole image", () => zoomTo(0));
  button("1:1", "pixels as they are", () => zoomTo(1 / devicePixelRatio));
  const shown = make("output", "", bar);

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const pointers = new Map();
  let dragging = "", pinch = 0;
  const distance = () => {
    const [one, other] = pointers.values();
    return [Math.hypot(one[0] - other[0], one[1] - other[1]), [(one[0] + other[0]) / 2, (one[1] + other[1]) / 2]];
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    stage.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    dragging = event.target === divider || !state.zoom ? "divider" : "image";
    if (pointers.size === 2) [dragging, pinch] = ["pinch", distance()[0]];
    if (dragging === "divider" && event.target !== divider) split(at(event)[0] / stage.clientWidth);
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId), now = at(event);
    if (!last) return;
    pointers.set(event.pointerId, now);
    if (dragging === "divider") split(now[0] / stage.clientWidth);
    if (dragging === "image") move(now[0] - last[0], now[1] - last[1]);
    if (dragging === "pinch" && pointers.size === 2) {
      const [apart, middle] = distance();
      zoomTo((scale() * apart) / Math.max(pinch, 1), middle);
      pinch = apart;
    }
  });
  const lift = (event) => { pointers.delete(event.pointerId); dragging = ""; };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("dblclick", (event) => zoomTo(state.zoom ? 0 : Math.max(1 / devicePixelRatio, 2 * fit()), at(event)));
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return;
    event.preventDefault();
    zoomTo(scale() * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), at(event));
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60, shift = event.shiftKey;
    const actions = {
      ArrowLeft: () => (shift ? move(step, 0) : split(state.split - 0.02)),
      ArrowRight: () => (shift ? move(-step, 0) : split(state.split + 0.02)),
      ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step),
      Home: () => split(0), End: () => split(1), PageUp: () => split(state.split + 0.2), PageDown: () => split(state.split - 0.2),
      "+": () => zoomTo(scale() * 1.25), "=": () => zoomTo(scale() * 1.25), "-": () => zoomTo(scale() / 1.25),
      0: () => zoomTo(0), 1: () => zoomTo(1 / devicePixelRatio), x: swap, X: swap,
    };
    const action = actions[event.key];
    if (!action || (event.key.startsWith("Arrow") && /Up|Down/.test(event.key) && !state.zoom)) return;
    event.preventDefault();
    action();
  });
  viewer.querySelectorAll("[data-place]").forEach((spot) => {
    spot.addEventListener("click", () => show(...spot.dataset.place.split(",").map(Number)));
    spot.parentElement.hidden = false;
  });
  new ResizeObserver(draw).observe(stage);
  draw();
});
