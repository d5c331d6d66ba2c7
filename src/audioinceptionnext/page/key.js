// Asks for the key of a server that requires one.

/** Resolves to the key, or to an empty text if the dialog is cancelled. */
export function askKey() {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key");
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "ok" ? field.value.trim() : "");
  });
}
