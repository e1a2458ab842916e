// Runs in each document before the page's own scripts: what would open another window, in which nobody would look, opens in this one.
(() => {
  if (window.top !== window) return;
  const stay = (event) => {
    for (const e of event.composedPath()) {
      if (e instanceof Element && e.hasAttribute('target') && e.getAttribute('target') !== '_self') e.setAttribute('target', '_self');
    }
    const form = event.target instanceof Element && event.target.closest('button, input') && event.target.closest('button, input').form;
    if (form && form.target) form.target = '_self';
  };
  addEventListener('click', stay, true);
  addEventListener('submit', stay, true);
  window.open = (url) => {
    if (url) location.assign(url);
    return null;
  };
})();
