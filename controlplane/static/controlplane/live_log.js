/* Follows an engine's log over a WebSocket; launcher/consumers.py says what is spoken on it. */

(() => {
  "use strict";
  const MAX_LINES = 5000; // in the page; the download has all
  const FIRST_PAUSE = 500, LONGEST_PAUSE = 15000; // milliseconds before it connects again
  const NOT_ALLOWED = 4403, GONE = 4404;

  const root = document.getElementById("live-log");
  if (!root || !window.WebSocket) return;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const status = part("status"), notice = part("notice"), progress = part("progress"), box = part("lines"), dot = part("dot");
  const pauseButton = part("pause"), search = part("search"), download = part("download");
  const only = Number(root.dataset.attempt) || 0;

  let socket = null, cursor = "", shown = 0, attempt = 0, lines = 0;
  let paused = false, ended = false, tries = 0, timer = 0, typing = 0;

  function tell(text) {
    notice.textContent = text;
    notice.hidden = !text;
  }

  function say(message) {
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  function clear() {
    box.replaceChildren();
    lines = attempt = 0;
  }

  function heading(number) {
    const line = document.createElement("h3");
    line.textContent = `Launch ${number}`;
    box.append(line);
  }

  /* A progress bar writes over itself: what follows the last carriage return of a line is what stands there. */
  function standing(text) {
    return text.replace(/[^\n]*\r(?=[^\r\n])/g, "").replace(/\r/g, "").replace(/\x1b\[[0-9;]*m/g, "");
  }

  function add(text) {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const block = document.createElement("pre");
    block.textContent = standing(text);
    block.dataset.lines = String(text.split("\n").length - 1);
    lines += Number(block.dataset.lines);
    box.append(block);
    while (lines > MAX_LINES && box.children.length > 1) {
      lines -= Number(box.firstElementChild.dataset.lines || 0);
      box.firstElementChild.remove();
    }
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  function onLines(message) {
    if (message.anew) {
      clear();
      shown = 0;
    }
    if (message.text) {
      if (attempt !== message.attempt && !only) heading(message.attempt);
      attempt = message.attempt;
      add(message.text);
      shown += message.text.length;
      say({ seen: shown });
    }
    cursor = message.cursor;
  }

  function onState(message) {
    const launch = message.attempt ? `Launch ${message.attempt}` : "";
    const state = message.ended ? `${launch} ended` : launch && `${launch}, ${message.state}`;
    status.textContent = [state, message.said].filter(Boolean).join(": ");
    dot.dataset.state = message.state;
    progress.hidden = message.progress === null;
    if (message.progress !== null) progress.value = message.progress;
    if (message.attempt && download) {
      download.href = download.href.replace(/log\/\d+\//, `log/${message.attempt}/`);
    }
  }

  function connect() {
    window.clearTimeout(timer);
    const url = new URL(root.dataset.socket, window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (only) url.searchParams.set("attempt", String(only));
    if (cursor) url.searchParams.set("cursor", cursor);
    if (search.value) url.searchParams.set("search", search.value);
    shown = 0;
    const opened = (socket = new WebSocket(url));
    opened.onopen = () => {
      if (paused) say({ pause: true });
    };
    opened.onmessage = (event) => {
      tries = 0;
      tell("");
      root.dataset.live = "yes";
      const message = JSON.parse(event.data);
      if (message.type === "lines") onLines(message);
      else if (message.type === "state") onState(message);
    };
    opened.onclose = (event) => {
      if (opened !== socket) return;
      root.dataset.live = "no";
      ended = event.code === NOT_ALLOWED || event.code === GONE;
      if (ended) {
        tell(event.reason || "The log cannot be shown any more.");
        return;
      }
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** tries) * (0.75 + Math.random() / 2);
      tries += 1;
      if (tries > 1) tell(`The connection is lost. The next try is in ${Math.ceil(pause / 1000)} s.`);
      timer = window.setTimeout(connect, pause);
    };
  }

  function setPaused(now) {
    paused = now;
    pauseButton.setAttribute("aria-pressed", String(paused));
    part("pause-label").textContent = paused ? "Resume" : "Pause";
    pauseButton.firstElementChild.textContent = paused ? "play_arrow" : "pause";
    say({ pause: paused });
  }

  function look() {
    cursor = "";
    if (socket && socket.readyState === WebSocket.OPEN) say({ search: search.value });
    else if (!ended) connect();
  }

  pauseButton.hidden = false;
  pauseButton.addEventListener("click", () => setPaused(!paused));
  part("attempt").addEventListener("change", () => part("form").submit());
  search.addEventListener("input", () => {
    window.clearTimeout(typing);
    typing = window.setTimeout(look, 250);
  });
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    window.clearTimeout(typing);
    look();
  });
  window.addEventListener("online", () => !ended && socket.readyState === WebSocket.CLOSED && connect());
  box.scrollTop = box.scrollHeight;
  connect();
})();
