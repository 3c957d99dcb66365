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

// What takes seconds says so, and is asked for once; coming back to the page frees the button.
function tellWorking({ target }) {
  if (!target.dataset.occupe) return;
  const button = target.querySelector("[type=submit]");
  button.dataset.libre = button.textContent;
  button.textContent = target.dataset.occupe;
  button.disabled = true;
}

function freeButtons() {
  for (const button of document.querySelectorAll("[data-libre]")) {
    button.textContent = button.dataset.libre;
    button.disabled = false;
  }
}

document.addEventListener("submit", tellWorking);
window.addEventListener("pageshow", freeButtons);
