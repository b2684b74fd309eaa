// What the frames of unfold and Django leave out for whoever uses a keyboard or a screen reader: landmarks, menu buttons
// that can be reached and pressed, and names that are words.

// An icon is a word in a font of pictures, "play_arrow". It is read aloud unless it is hidden, and is the name of what
// holds nothing else.
function nameIcons() {
  for (const icon of document.querySelectorAll(".material-symbols-outlined:not([aria-hidden]):not([role])")) {
    const word = icon.textContent.trim();
    const control = icon.closest("a, button");
    if (control && control.textContent.trim() === word && !control.hasAttribute("aria-label") && !control.title) {
      control.setAttribute("aria-label", word.replaceAll("_", " "));
    }
    icon.setAttribute("aria-hidden", "true");
  }
}

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("content")?.setAttribute("role", "main");
  document.getElementById("header-inner")?.setAttribute("role", "banner");
  for (const toggle of document.querySelectorAll("span[x-on\\:click*='sidebar']")) {
    toggle.setAttribute("role", "button");
    toggle.setAttribute("tabindex", "0");
    toggle.setAttribute("aria-label", "Navigation");
    toggle.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle.click();
    });
  }
  nameIcons();
  document.body.addEventListener("htmx:afterSettle", nameIcons);
});

// The two-column choosers are made by Django's own listener to this event, which comes after this one.
window.addEventListener("load", () => {
  setTimeout(() => {
    for (const picture of document.querySelectorAll(".help-tooltip[aria-label]")) picture.setAttribute("role", "img");
  });
});
