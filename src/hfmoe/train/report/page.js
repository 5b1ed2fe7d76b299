document.querySelectorAll("#pictures .slider input").forEach((input) => {
  const steps = input.parentElement.dataset.steps.split(",");
  const shown = document.querySelectorAll("#pictures [data-step]");
  input.addEventListener("input", () => {
    shown.forEach((part) => { part.hidden = part.dataset.step !== steps[input.value]; });
  });
  input.hidden = false;
});
