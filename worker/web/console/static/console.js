// What htmx does not do: refreshes the parts of a page that are live, and says when the server does not answer.
"use strict";

(() => {
  const EVERY_MS = 2000;
  const tags = new WeakMap();
  const banner = () => document.getElementById("connection");

  const say = (text) => {
    const line = banner();
    if (line && line.textContent !== text) line.textContent = text;
    if (line) line.hidden = text === "";
  };

  // A hidden tab asks for nothing. An element that has the focus within a dialog or a form is left alone.
  const refresh = () => {
    if (document.hidden) return;
    for (const part of document.querySelectorAll("[data-live]")) {
      if (!part.querySelector("dialog[open], form[data-busy]")) part.dispatchEvent(new CustomEvent("live"));
    }
  };

  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);

  // The server compares the tag, and answers 304 while nothing has changed.
  document.addEventListener("htmx:config:request", (event) => {
    const { sourceElement, request } = event.detail.ctx;
    if (!sourceElement.matches("[data-live]")) return;
    request.headers["X-Live"] = "1";
    const known = tags.get(sourceElement);
    if (known) request.headers["If-None-Match"] = known;
  });

  document.addEventListener("htmx:before:response", (event) => {
    const { sourceElement, response } = event.detail.ctx;
    if (!sourceElement.matches("[data-live]")) return;
    if (response.status === 401) {
      location.reload();
      event.preventDefault();
    } else if (response.status >= 400) {
      say("The server cannot show the newest figures now. This page keeps trying.");
      event.preventDefault();
    } else {
      say("");
      const tag = response.headers.get("ETag");
      if (tag) tags.set(sourceElement, tag);
    }
  });

  document.addEventListener("htmx:error", () => {
    say("The server does not answer. This page keeps trying.");
  });

  // Where a browser cannot move an element with its focus, the focus is given back; a row without it ends the focus.
  let focused = null;
  document.addEventListener("htmx:before:swap", () => { focused = document.activeElement; });
  document.addEventListener("htmx:after:swap", () => {
    if (focused?.isConnected && document.activeElement === document.body && focused !== document.body) {
      focused.focus({ preventScroll: true });
    }
  });

  // Without a script there is no such button.
  for (const button of document.querySelectorAll("[data-select-all]")) {
    const form = button.form;
    const boxes = [...form.querySelectorAll("input[type=checkbox][name=id]")];
    const count = () => {
      const checked = boxes.filter((box) => box.checked).length;
      const all = checked === boxes.length;
      form.querySelector("[data-selected]").textContent = checked ? `${checked} of ${boxes.length} selected` : "";
      button.textContent = all ? "Select none" : "Select all on this page";
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const wanted = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = wanted;
      count();
    });
    form.addEventListener("change", count);
    // The browser may have kept a selection.
    count();
  }

  // A file that the server would refuse is not sent: the connection would end before the answer is read.
  document.addEventListener("change", (event) => {
    const field = event.target;
    if (!field.matches("input[data-most-bytes]")) return;
    const [file] = field.files;
    const most = Number(field.dataset.mostBytes);
    const said = `The file has ${file?.size.toLocaleString("en")} bytes: at most ${most.toLocaleString("en")} are read.`;
    field.setCustomValidity(file && file.size > most ? said : "");
    field.reportValidity();
  });

  // Pages that the browser kept may belong to a session that has ended.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
