#include "data/synth.h"

#include "tools/commands.h"
#include "tools/option_values.h"
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
  take_path(command->add_option("--out", settings->out, "Folder to make"), "DIR")->required();
  SynthOptions& o = settings->options;
  take_whole(command->add_option("--experiments", o.experiments, "Each with its own batch effect"), 1, 999);
  take_whole(command->add_option("--plates", o.plates, "Of each experiment"), 1, 99);
  take_whole(command->add_option("--wells", o.wells, "Of each plate, one of them the untreated control"), 2,
             308);
  take_whole(command->add_option("--classes", o.classes, "Morphologies"), 2, 1138);
  take_whole(command->add_option("--size", o.size, "Side of the images in pixels"), 32, 2048);
  take_whole(command->add_option("--sites", o.sites, "Images of each well"), 1, 99);
  take_seed(command->add_option("--seed", o.seed, "One seed, one dataset"));
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
    fmt::print("{}: {} sites of six channels, {} images\n", settings->out, report.sites, report.images);
  });
}

}  // namespace cytograd
