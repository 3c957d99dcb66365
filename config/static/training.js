// The page of a run that lives: how far it is, and its curves, every two seconds; when it begins, ends or
// dies, the whole page.
const PERIOD = 2000;
const progress = document.getElementById("avancement");

async function refresh() {
  try {
    const answer = await fetch(progress.dataset.url, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) throw new Error(answer.status);
    const run = await answer.json();
    if (run.etat !== progress.dataset.etat) return location.reload();
    progress.innerHTML = run.avancement;
    const curves = document.getElementById("courbes");
    const open = curves.querySelector("details")?.open;
    curves.innerHTML = run.courbes;
    if (open) curves.querySelector("details").open = true;
  } catch {
    // The server restarts, or the line is down: the next look will tell.
  }
  setTimeout(refresh, PERIOD);
}

setTimeout(refresh, PERIOD);
