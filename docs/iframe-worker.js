// Search on pages that are opened from the disk: no browser starts a worker from a file, so a hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.inside = frame.contentWindow;
      this.inside.document.write("<body></body>");
      this.inside.document.close();
      this.inside.postMessage = (said) => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data: said })));
      this.started = this.load(url);
      this.inside.importScripts = (...urls) => urls.reduce((before, one) => before.then(() => this.load(one)), Promise.resolve());
    }
    load(url) {
      const script = this.inside.document.createElement("script");
      script.src = url;
      return new Promise((resolve, reject) => {
        Object.assign(script, { onload: resolve, onerror: reject });
        this.inside.document.body.appendChild(script);
      });
    }
    postMessage(said) {
      this.started.then(() => this.inside.dispatchEvent(new this.inside.MessageEvent("message", { data: said })));
    }
    terminate() {}
  };
}
