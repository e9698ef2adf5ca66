// The offline page: shows the last signed status, and goes where the list says when that place answers.
"use strict";

const place = (id) => document.getElementById(id);

function show({ list, state, reachable }) {
  if (!list) {
    place("notice").textContent = "There is no message: this app has never seen a signed list.";
    return;
  }
  place("notice").textContent = list.notice || "Plaza's operators left no message.";
  const others = list.endpoints.filter((url) => new URL(url).origin !== location.origin);
  place("addresses").replaceChildren(...others.map((url) => {
    const link = document.createElement("a");
    link.href = url;
    link.textContent = url;
    const item = document.createElement("li");
    item.className = "person";
    item.append(link);
    return item;
  }));
  place("elsewhere").hidden = others.length === 0;
  place("about").textContent = {
    current: `Signed ${list.issued}, version ${list.version}.`,
    late: `This message is out of date since ${list.expires}. Nothing newer was found, which can mean that somebody withholds it.`,
    unchecked: "This browser can't check signatures. What stands here came from the site itself when it could last be reached; nothing is followed automatically.",
  }[state];
  if (reachable && state === "current") location.replace(reachable);
}

if (navigator.serviceWorker?.controller) {
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => show(data);
  navigator.serviceWorker.controller.postMessage({ do: "look" }, [channel.port2]);
} else {
  place("notice").textContent = "This browser keeps no messages for later.";
}
