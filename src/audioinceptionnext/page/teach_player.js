// Plays examples, one at a time.

export class ExamplePlayer {
  /** Plays a Blob, or stops it if it plays. button: that of the example, which is marked meanwhile. */
  toggle(blob, button, onProblem) {
    const stopped = this.button === button;
    this.stop();
    if (stopped) return;
    this.button = button;
    button.classList.add("playing");
    const url = URL.createObjectURL(blob);
    const audio = (this.audio = new Audio(url));
    this.release = () => URL.revokeObjectURL(url);
    audio.onended = () => this.audio === audio && this.stop();
    audio.play().catch(() => {
      if (this.audio !== audio) return; // it was stopped before it began
      this.stop();
      onProblem();
    });
  }

  stop() {
    this.audio?.pause();
    this.button?.classList.remove("playing");
    this.release?.();
    this.audio = this.button = this.release = null;
  }
}
