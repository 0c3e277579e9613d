
"use strict";
for (const hidden of document.querySelectorAll(".filter[hidden]")) hidden.hidden = false;
for (const input of document.querySelectorAll("input[data-filters]")) {
  const items = document.querySelectorAll(input.dataset.filters);
  const output = input.closest(".filter").querySelector("output");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      const text = item.dataset.text.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      if (!item.hidden) shown += 1;
    }
    if (output) output.value = words.length ? `${shown} of ${items.length}` : "";
  });
}
