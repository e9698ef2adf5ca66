// Subscribes this browser for messages, and sends where it can be reached in an ordinary form.
"use strict";

const form = document.getElementById("begin");
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

if (navigator.serviceWorker && window.PushManager) {
  form.hidden = false;
  document.getElementById("cannot").hidden = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const worker = await navigator.serviceWorker.ready;
      const made = (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(form.dataset.key) })).toJSON();
      Object.assign(form.elements.endpoint, { value: made.endpoint });
      Object.assign(form.elements.p256dh, { value: made.keys.p256dh });
      Object.assign(form.elements.auth, { value: made.keys.auth });
      form.submit();
    } catch {
      const cannot = document.getElementById("cannot");
      cannot.hidden = false;
      cannot.textContent = "This browser did not allow it, or could not reach its own push service.";
    }
  });
}
