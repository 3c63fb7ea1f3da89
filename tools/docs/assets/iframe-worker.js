// The search runs in a Web Worker, which browsers do not start for a file: page. Run its script in a hidden frame there.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = this.onerror = null
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const scope = this.frame.contentWindow
      const load = (source) => new Promise((resolve, reject) => {
        const script = scope.document.createElement("script")
        script.src = source
        script.onload = resolve
        script.onerror = reject
        scope.document.body.append(script)
      })
      scope.importScripts = (...sources) => sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve())
      scope.postMessage = (data) => setTimeout(() => this.receive(new MessageEvent("message", { data })))
      this.ready = load(new URL(url, location.href).href)
      this.ready.catch(() => this.dispatchEvent(new ErrorEvent("error", { message: "the script cannot be loaded" })))
    }

    receive(event) {
      if (typeof this.onmessage === "function") this.onmessage(event)
      this.dispatchEvent(event)
    }

    postMessage(data) {
      this.ready.then(() => {
        const scope = this.frame.contentWindow
        scope.dispatchEvent(new scope.MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }
  }
}
