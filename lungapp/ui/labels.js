/* Gradio names some of its parts to screen readers in English, whatever the page's language: here they get our words.

   The server puts in place of WORDS what each is called instead; "{label}" stands for a component's own label. Gradio
   sets such a name when it makes or changes a part, so every change of one is looked at; a name that is not known stays. */
"use strict";
((words) => {
  const ATTRIBUTES = ["alt", "aria-label", "title"];
  const exact = new Map(words);
  const open = words.map(([said, better]) => [...said.split("{label}"), better]).filter((entry) => entry.length === 3);

  function better(said) {
    if (exact.has(said)) return exact.get(said);
    const found = open.find(([before, after]) => said.startsWith(before) && said.endsWith(after));
    return found && found[2].replace("{label}", () => said.slice(found[0].length, said.length - found[1].length));
  }

  function rename(element) {
    for (const attribute of ATTRIBUTES) {
      const said = element.getAttribute(attribute);
      const name = said && better(said);
      if (name && name !== said) element.setAttribute(attribute, name);
    }
  }

  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "attributes") rename(change.target);
      for (const added of change.addedNodes) {
        if (!(added instanceof Element)) continue;
        rename(added);
        for (const element of added.querySelectorAll("[alt], [aria-label], [title]")) rename(element);
      }
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ATTRIBUTES });
})(WORDS);
