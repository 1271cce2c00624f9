(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displayModeBar: false, typesetMath: false, showTips: false };
  const PAPER_WIDTH = 680;
  const root = document.documentElement;
  const narrow = innerWidth < 520;
  const fontSize = () => (narrow || root.classList.contains("printing") ? 11 : 13);

  function template() {
    const style = getComputedStyle(root);
    const size = fontSize();
    const color = (name) => style.getPropertyValue(name).trim();
    const title = { standoff: 12, font: { size, color: color("--muted") } };
    const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line"), fixedrange: true };
    const axes = { xaxis: { ...axis, title }, yaxis: { ...axis, title } };
    const diverging = [[0, color("--low")], [0.5, color("--middle")], [1, color("--high")]];
    return {
      layout: {
        ...axes,
        font: { family: getComputedStyle(document.body).fontFamily, size, color: color("--ink") },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        margin: { l: 12, r: 16, t: 28, b: 12, pad: 6 },
        dragmode: false,
        colorscale: { diverging },
        shapedefaults: { line: { color: color("--ink") } },
        hoverlabel: { align: "left", bgcolor: color("--ground"), bordercolor: color("--muted"), font: { color: color("--ink") } },
      },
      data: {
        sankey: [{ textfont: { color: color("--ink") } }],
        scatter: [{ marker: { line: { color: color("--ground") } } }],
        heatmap: [{ textfont: { color: color("--ink") }, colorbar: { title: { font: title.font } } }],
      },
    };
  }

  const nodes = Object.keys(figures).map((slug) => [document.getElementById(`figure-${slug}`), figures[slug]]);
  const relayout = (change) => nodes.forEach(([node]) => Plotly.relayout(node, change));

  for (const [node, figure] of nodes) {
    node.style.minHeight = `${figure.layout.height}px`;
    if (node.id === "figure-centroids") node.style.minWidth = `${fontSize() * (11 + (narrow ? 9 : 7) * figure.data[0].z[0].length)}px`;
    Plotly.newPlot(node, figure.data, { ...figure.layout, template: template() }, config);
  }
  dark.addEventListener("change", () => relayout({ template: template() }));
  addEventListener("beforeprint", () => {
    root.classList.add("printing"); // the media are still those of the screen, which may be dark
    document.querySelectorAll("details").forEach((part) => part.setAttribute("open", ""));
    relayout({ width: PAPER_WIDTH, template: template() });
  });
  addEventListener("afterprint", () => {
    root.classList.remove("printing");
    relayout({ width: null, autosize: true, template: template() });
  });
})();
