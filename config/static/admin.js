// select2 names its box after what is chosen there, which may be nothing: after its label, too.
function nameBoxes() {
  for (const chosen of document.querySelectorAll(".select2-selection__rendered")) {
    const field = chosen.id.replace(/^select2-(.*)-container$/, "$1");
    const label = document.querySelector(`label[for="${field}"]`);
    if (!label) continue;
    label.id ||= `${field}-label`;
    chosen.setAttribute("aria-labelledby", label.id);
    chosen.closest("[role=combobox]")?.setAttribute("aria-labelledby", `${label.id} ${chosen.id}`);
  }
}

// Behind what makes the boxes, in the one queue that jQuery keeps.
window.addEventListener("load", () => window.django?.jQuery?.(nameBoxes));
