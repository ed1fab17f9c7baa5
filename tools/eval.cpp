#include <cstdio>

#include "data/domains.h"
#include "engine/atomic_file.h"
#include "tools/commands.h"
#include "tools/evaluator.h"
#include "tools/inference_options.h"
#include "tools/option_values.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/run_device.h"
#include "tools/trained_run.h"
#include "tools/training_data.h"

namespace cytograd {
namespace {

struct EvalSettings {
  std::string model;
  std::string data;
  std::string json;
  std::string group;
  std::vector<std::string> where;
  InferenceOptions inference;
};

void evaluate(const EvalSettings& settings) {
  if (!settings.json.empty()) require_writable(settings.json);
  const Device device = resolve_device(settings.inference.device);
  TrainedRun run = load_trained_run(settings.model, device);
  TrainOptions options = with_inference_options(run.options, settings.inference, device);
  options.where = settings.where;

  Dataset dataset = open_filtered(settings.data, settings.where);
  require_white(run, dataset);
  warn_of_dim_images(dataset, options.white, false);
  const std::string label = options.label.empty() ? dataset.label_column : options.label;
  if (label.empty())
    fail("{}: the images have no labels to compare with; use 'cytograd predict'", settings.data);
  apply_default_filters(dataset, options, label, false);
  const std::string group = settings.group.empty() ? dataset.group_column : settings.group;
  if (!group.empty()) dataset.require_column(group);
  const std::vector<int64_t> labels = label_samples(dataset, label, run.classes);
  std::error_code ignored;
  if (std::filesystem::equivalent(settings.data, options.data, ignored)) {
    say(settings.where.empty()
            ? fmt::format(
                  "note: {} has the images that {} was trained on, which flatters it; --where chooses others",
                  settings.data, settings.model)
            : fmt::format("note: {} may have images that {} was trained on, which flatters it", settings.data,
                          settings.model));
  }
  if (!settings.json.empty()) {
    require_no_run_file(run, settings.json);
    require_no_input(settings.json, dataset);
  }

  const std::vector<std::string> domains = adaptation_keys(dataset, options);
  const auto data = load_images(std::move(dataset), options, Use::inference);
  require_alike(run, data->store->reference(), settings.data);
  std::vector<int64_t> samples;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= 0) samples.push_back(static_cast<int64_t>(i));
  }
  if (samples.size() < labels.size())
    say(fmt::format("{}: {} of {} images have no {} and are left out", settings.data,
                    labels.size() - samples.size(), labels.size(), label));
  samples = data->readable(samples);
  if (samples.empty()) fail("{}: no image with a label can be read", settings.data);
  std::vector<int64_t> known;
  for (const int64_t sample : samples) known.push_back(labels[static_cast<size_t>(sample)]);

  const EvaluationImages images{
      .store = *data->store,
      .samples = samples,
      .labels = known,
      .loader = evaluation_loader_options(options, device),
      .domains = number_keys(data->dataset, options.adaptation(), domains, samples)};
  Evaluated evaluated;
  {
    Progress progress("evaluating", static_cast<int64_t>(samples.size()), "images");
    evaluated = run_model(*run.model, images, evaluator_options(run, options, device), &progress);
  }
  data->add_unreadable(evaluated.unreadable);
  Evaluation evaluation = evaluate_predictions(
      evaluated.predictions, group_names(data->dataset, group, evaluated.predictions.samples));
  evaluation.adabn = options.adaptation();
  if (!settings.json.empty()) write_text_file(settings.json, evaluation_json(evaluation, run.classes));
  std::FILE* const to =
      is_standard_output(settings.json) ? stderr : stdout;  // two reports in one file are none
  fmt::print(to, "{} on {}, label {}{}\n{}", settings.model, settings.data, label,
             evaluation.adabn == "none" ? "" : ", adabn " + evaluation.adabn,
             format_evaluation(evaluation, run.classes));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto settings = std::make_shared<EvalSettings>();
  CLI::App* command = app.add_subcommand("eval", "Measure a trained classifier on labelled images");
  command->option_defaults()->always_capture_default();
  take_path(command->add_option("--model", settings->model, "Run folder, or one of its .safetensors files"),
            "RUN")
      ->required();
  take_path(command->add_option("--data", settings->data, "Folder of images"), "DIR")->required();
  take_path(command->add_option("--json", settings->json, "Also write the figures there"), "FILE");
  command
      ->add_option(
          "--group", settings->group,
          "Column to report accuracy by; default: that of the layout: experiment, or group in labels.csv")
      ->type_name("COLUMN");
  add_where(*command, settings->where);
  add_inference_options(*command, settings->inference);
  command->footer("Example: cytograd eval --model run --data cells --where split=test --json figures.json");
  command->callback([settings] { evaluate(*settings); });
}

}  // namespace cytograd
