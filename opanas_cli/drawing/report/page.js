"use strict";
// Marks say their title in a box, by pointer and by keyboard; a click or Enter leads to their row in the table.
const tip = document.getElementById("tip");
let current = null;

function show(mark) {
  if (current) current.classList.remove("at");
  current = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("at");
  tip.textContent = mark.dataset.title;
  const at = mark.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(at.right + 10, innerWidth - tip.offsetWidth - 4)) + "px";
  tip.style.top = (at.top > tip.offsetHeight + 10 ? at.top - tip.offsetHeight - 8 : at.bottom + 8) + "px";
}

function follow(mark) {
  const row = mark && mark.dataset.row && document.getElementById(mark.dataset.row);
  if (!row) return;
  row.closest("details").open = true;
  location.hash = row.id;
  row.scrollIntoView({ block: "center" });
}

for (const mark of document.querySelectorAll(".mark")) {
  const title = mark.querySelector("title");
  mark.dataset.title = title.textContent;
  title.remove(); // Else the browser shows a second box.
  mark.setAttribute("aria-label", mark.dataset.title);
  mark.setAttribute("role", "img");
}
for (const plot of document.querySelectorAll(".chart")) {
  const marks = [...plot.querySelectorAll(".mark")];
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  plot.addEventListener("pointerover", (event) => show(event.target.closest(".mark")));
  plot.addEventListener("pointerleave", () => show(null));
  plot.addEventListener("click", (event) => follow(event.target.closest(".mark")));
  plot.addEventListener("blur", () => show(null));
  plot.addEventListener("keydown", (event) => {
    const place = marks.indexOf(current);
    if (event.key in steps && marks.length) {
      show(marks[Math.max(0, Math.min(marks.length - 1, place + steps[event.key]))]);
    } else if (event.key === "Home" || event.key === "End") {
      show(marks.at(event.key === "Home" ? 0 : -1));
    } else if (event.key === "Enter") {
      follow(current);
    } else if (event.key === "Escape") {
      show(null);
    } else {
      return;
    }
    event.preventDefault();
  });
}
// While a search runs the page loads itself again, but not under the eyes of someone who reads a table or a mark.
const pause = Number(document.body.dataset.reload);
if (pause) {
  setInterval(() => current || document.querySelector("details[open]") || location.reload(), pause * 1000);
}
