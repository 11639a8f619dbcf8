// Swaps the live part each second and sends what a button's data attributes say.
const live = document.getElementById("live");
const said = document.getElementById("said");
let shown = "";

async function refresh() {
  try {
    const answer = await fetch("/live");
    const text = await answer.text();
    if (!answer.ok || text === shown) return;
    shown = text;
    const focused = document.activeElement?.dataset?.body;
    live.innerHTML = text; // rendered and escaped by the server
    if (focused) [...live.querySelectorAll("button")].find((b) => b.dataset.body === focused)?.focus();
  } catch {
    said.textContent = "沙箱没有回应";
  }
}

async function send(button, url, body) {
  button.disabled = true;
  said.textContent = "请稍候…";
  try {
    const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const value = await answer.json();
    said.textContent = answer.ok ? "" : value.error;
  } catch {
    said.textContent = "沙箱没有回应";
  }
  button.disabled = false;
  await refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button) send(button, button.dataset.post, button.dataset.body);
});

document.getElementById("scan").addEventListener("submit", (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(event.target));
  if (!fields.name) delete fields.name;
  const id = "wm" + [...crypto.getRandomValues(new Uint8Array(15))].map((b) => b.toString(16).padStart(2, "0")).join("");
  send(event.submitter, `/control/customers/${id}/add`, JSON.stringify(fields));
});

setInterval(refresh, 1000);
