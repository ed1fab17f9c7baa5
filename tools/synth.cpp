#include "data/synth.h"

#include "tools/commands.h"
#include "tools/pipeline.h"
#include "tools/progress.h"

namespace cytograd {

void add_synth(CLI::App& app) {
  struct Settings {
    std::string out;
    SynthOptions options;
  };
  auto settings = std::make_shared<Settings>();
  CLI::App* command =
      app.add_subcommand("synth", "Make a synthetic cell-painting dataset in the rxrx.ai layout");
  command->option_defaults()->always_capture_default();
  command->add_option("--out", settings->out, "Folder to make")->required()->type_name("DIR");
  command->add_option("--experiments", settings->options.experiments, "Each with its own batch effect");
  command->add_option("--plates", settings->options.plates, "Of each experiment");
  command->add_option("--wells", settings->options.wells, "Of each plate");
  command->add_option("--classes", settings->options.classes, "Morphologies");
  command->add_option("--size", settings->options.size, "Side of the images in pixels");
  command->add_option("--sites", settings->options.sites, "Images of each well");
  command->add_option("--seed", settings->options.seed);
  command->footer("Example: cytograd synth --out cells --experiments 4 --classes 8 --size 128");
  command->callback([settings] {
    SynthReport report;
    {
      std::unique_ptr<Progress> progress;
      report = synthesize(settings->out, settings->options, [&](int64_t done, int64_t total) {
        if (!progress) progress = std::make_unique<Progress>("drawing", total, "sites");
        progress->update(done);
      });
    }
    say(fmt::format("{}: {} sites of six channels, {} images", settings->out, report.sites, report.images));
  });
}

}  // namespace cytograd
