// Small comforts. Everything works without them.
"use strict";

for (const box of document.querySelectorAll("textarea[data-count]")) {
  const out = document.getElementById(box.dataset.count);
  const show = () => { out.textContent = `${box.value.length} / ${box.maxLength}`; };
  box.addEventListener("input", show);
  show();
}

for (const input of document.querySelectorAll("input[data-preview]")) {
  input.addEventListener("change", () => {
    input.parentNode.querySelector("img")?.remove();
    const file = input.files[0];
    if (!file) return;
    const image = document.createElement("img");
    image.alt = "";
    image.src = URL.createObjectURL(file);
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
    input.after(image);
  });
}

// One row for a picture at a time: the next appears when the one before is used.
document.querySelectorAll(".picture-row").forEach((row, number, all) => {
  const chosen = (one) => one.querySelector("input[type=file]").files.length > 0;
  row.hidden = number > 0 && !chosen(row) && !chosen(all[number - 1]);
  row.addEventListener("change", () => {
    if (all[number + 1] && chosen(row)) all[number + 1].hidden = false;
  });
});

for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    setTimeout(() => form.querySelectorAll("button:not([data-keep])").forEach((button) => { button.disabled = true; }));
  });
}
window.addEventListener("pageshow", () => {
  document.querySelectorAll("button:disabled").forEach((button) => { button.disabled = false; });
});

// As an app on one's phone: offline page, signed list of addresses, messages.
navigator.serviceWorker?.register("/sw.js").catch(() => {});
