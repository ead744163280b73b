// What pages do beyond forms and links; each of them works without this too.
"use strict";

// A link's part behind "#" reaches no server: put it where it is asked for.
for (const field of document.querySelectorAll("[data-from-fragment]")) {
  const carried = location.hash.slice(1);
  if (carried && carried !== "content") {
    field.value = field.dataset.fromFragment === "whole" ? location.href : carried;
    if (field.dataset.fromFragment !== "whole") history.replaceState(null, "", location.pathname);
  }
}

// A form that was sent is not sent again by a second click.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.once === undefined) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
// Coming back by the browser's own button, a form may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
    button.textContent = button.dataset.copied;
  });
}
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => print());
}

// What happens on the account, as it happens. A page that nobody sees listens to
// nothing: browsers open few connections to one server.
if (document.body.dataset.live !== undefined) {
  let stream = null;
  let known = "";
  const news = () => htmx.trigger(document.body, "news");
  const listen = () => {
    if (document.hidden) {
      if (stream) stream.close();
      stream = null;
    } else if (!stream) {
      stream = new EventSource("/events");
      stream.addEventListener("payment", news);
      stream.addEventListener("entry", news);
      stream.addEventListener("account", (event) => {
        if (event.data !== known) news();
        known = event.data;
      });
    }
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}
