"use strict";
// A click on a column's heading sorts by it: numbers from the largest, text from A. Another click reverses the order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const numbers = !head.classList.contains("text");
      const before = head.getAttribute("aria-sort");
      const up = before ? before === "descending" : !numbers;
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // unknown values stay last
        const order = numbers ? Number(x) - Number(y) : x.localeCompare(y);
        return up ? order : -order;
      });
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...rows);
    });
  });
}

const filter = document.querySelector("#true-class");
if (filter) {
  const items = [...document.querySelectorAll(".mistakes li")];
  const apply = () => {
    for (const item of items) item.hidden = filter.value !== "" && item.dataset.label !== filter.value;
    const count = items.filter((item) => !item.hidden).length;
    document.querySelector("#number-of-mistakes").textContent = `${count} ${count === 1 ? "mistake" : "mistakes"}`;
  };
  filter.parentElement.hidden = false; // without this script there is no filter and all mistakes are visible
  filter.addEventListener("change", apply);
  apply();
}

// Play one recording at a time.
document.addEventListener("play", (event) => {
  for (const audio of document.querySelectorAll("audio")) if (audio !== event.target) audio.pause();
}, true);
