#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "data/csv.h"
#include "data/domains.h"
#include "data/list_some.h"
#include "engine/atomic_file.h"
#include "engine/file_status.h"
#include "tools/commands.h"
#include "tools/evaluator.h"
#include "tools/inference_options.h"
#include "tools/option_values.h"
#include "tools/progress.h"
#include "tools/run_device.h"
#include "tools/trained_run.h"
#include "tools/training_data.h"

namespace cytograd {
namespace {

struct PredictSettings {
  std::string model;
  std::string out;
  std::string submission;
  std::vector<std::string> inputs;
  std::vector<std::string> where;
  int64_t top = 5;
  InferenceOptions inference;
};

/// Images of files and folders as one table; with several inputs, a folder's images carry its name.
Dataset gather(const PredictSettings& settings, const TrainedRun& run, const TrainOptions& options) {
  Dataset all;
  // The one column that is kept of several folders: a plate of one is none of another.
  const std::string domain = options.adaptation();
  const bool by_column = domain != "none" && domain != "dataset" &&
                         std::all_of(settings.inputs.begin(), settings.inputs.end(), folder_exists);
  if (domain == "group" && by_column) all.group_column = domain;
  for (const std::string& input : settings.inputs) {
    if (!folder_exists(input)) {
      if (!file_exists(input)) fail("{}: there is no such file or folder", input);
      if (!settings.where.empty()) fail("--where chooses from a dataset; {} is a file", input);
      all.samples.push_back({input, {input}, {}});
      ++all.named_samples;
      continue;
    }
    Dataset dataset = open_filtered(input, settings.where);
    require_white(run, dataset);
    if (settings.inputs.size() == 1) return dataset;
    all.named_samples += dataset.named_samples;
    const std::vector<std::string> domains =
        by_column ? adaptation_keys(dataset, options) : std::vector<std::string>{};
    for (auto* samples : {&dataset.samples, &dataset.incomplete}) {
      for (Sample& sample : *samples) {
        sample.name = (std::filesystem::path(input) / sample.name).string();
        sample.values.clear();
      }
    }
    for (size_t i = 0; i < domains.size(); ++i)
      dataset.samples[i].values = {domains[i].empty() ? "" : input + ' ' + domains[i]};
    if (by_column) all.columns = {domain};
    all.samples.insert(all.samples.end(), dataset.samples.begin(), dataset.samples.end());
    all.incomplete.insert(all.incomplete.end(), dataset.incomplete.begin(), dataset.incomplete.end());
    all.missing.insert(all.missing.end(), dataset.missing.begin(), dataset.missing.end());
    all.tables.insert(all.tables.end(), dataset.tables.begin(), dataset.tables.end());
  }
  all.root = list_some(settings.inputs, 3);
  std::map<std::string, int64_t> names;
  for (const Sample& sample : all.samples) {
    if (++names[sample.name] > 1) fail("{}: is given twice; give each image once", sample.name);
  }
  return all;
}

std::string format_predictions(const Predictions& predictions, const Dataset& dataset,
                               const std::vector<std::string>& classes, int64_t top) {
  top = std::min(top, predictions.ranks);
  std::string text = "image,label,probability";
  for (int64_t k = 2; k <= top; ++k) text += fmt::format(",label_{0},probability_{0}", k);
  text += '\n';
  for (size_t i = 0; i < predictions.samples.size(); ++i) {
    text += csv_field(dataset.samples[static_cast<size_t>(predictions.samples[i])].name);
    for (const auto& [c, p] : predictions.of_image(i).first(static_cast<size_t>(top)))
      text += fmt::format(",{},{:.6f}", csv_field(classes[static_cast<size_t>(c)]), p);
    text += '\n';
  }
  return text;
}

/// The wells that Kaggle asks for: those of test.csv, in its order, and not the controls beside them.
std::vector<std::string> wells_to_submit(const Dataset& dataset) {
  if (dataset.layout != Layout::kaggle_rxrx1)
    fail("--submission: {} is not in the Kaggle layout, its images have no id_code", dataset.root.string());
  const auto file = std::find_if(dataset.tables.begin(), dataset.tables.end(),
                                 [](const auto& table) { return table.filename() == "test.csv"; });
  if (file == dataset.tables.end())
    fail("--submission: there is no {}, which names the wells to submit",
         (dataset.root / "test.csv").string());
  const CsvTable table = read_csv(*file);
  const size_t id_code = table.require_column("id_code");
  const size_t column = dataset.require_column("id_code");
  std::unordered_set<std::string> there;
  for (const Sample& sample : dataset.samples) there.insert(sample.values[column]);
  std::vector<std::string> wells;
  bool any = false;
  for (const auto& row : table.rows) {
    wells.push_back(row[id_code]);
    any = any || there.contains(wells.back());
  }
  if (!any)
    fail("--submission: none of the images is of a well of {}; choose others with --where", file->string());
  return wells;
}

/// Kaggle's submission: one row a well, the class of highest mean probability over its sites.
class Submission {
 public:
  explicit Submission(const Dataset& dataset)
      : asked_(wells_to_submit(dataset)), column_(dataset.require_column("id_code")) {
    for (const std::string& well : asked_) sums_[well];
  }

  void add(const Sample& sample, std::span<const float> probabilities) {
    const auto found = sums_.find(sample.values[column_]);
    if (found == sums_.end()) return;  // a control's
    found->second.resize(probabilities.size());
    std::transform(probabilities.begin(), probabilities.end(), found->second.begin(), found->second.begin(),
                   [](double p, double sum) { return p + sum; });
  }

  /// Says how many wells have no image.
  std::string format(const std::vector<std::string>& classes) const {
    std::string text = "id_code,sirna\n";
    size_t left_out = 0;
    for (const std::string& well : asked_) {
      const std::vector<double>& sums = sums_.at(well);
      if (sums.empty()) {
        ++left_out;
        continue;
      }
      const auto best = static_cast<size_t>(std::max_element(sums.begin(), sums.end()) - sums.begin());
      text += fmt::format("{},{}\n", csv_field(well), csv_field(classes[best]));
    }
    if (left_out > 0)
      say(fmt::format(
          "submission: {} of {} wells of test.csv are left out, for no image of theirs was predicted",
          left_out, asked_.size()));
    return text;
  }

 private:
  std::vector<std::string> asked_;  // in the order of test.csv
  size_t column_;
  std::unordered_map<std::string, std::vector<double>> sums_;  // by well, over its sites
};

void predict(const PredictSettings& settings) {
  if (!settings.submission.empty() && is_within(settings.submission, settings.out))
    throw CLI::ValidationError("--submission", "names the file of --out; name another");
  require_writable(settings.out);
  if (!settings.submission.empty()) require_writable(settings.submission);
  const Device device = resolve_device(settings.inference.device);
  TrainedRun run = load_trained_run(settings.model, device);
  const TrainOptions options = with_inference_options(run.options, settings.inference, device);
  Dataset dataset = gather(settings, run, options);
  for (const std::string& output : {settings.out, settings.submission}) {
    require_no_run_file(run, output);
    require_no_input(output, dataset);
  }
  warn_of_dim_images(dataset, options.white, false);
  std::optional<Submission> submission;
  if (!settings.submission.empty()) submission.emplace(dataset);
  const std::vector<std::string> domains = adaptation_keys(dataset, options);
  const auto data = load_images(std::move(dataset), options, Use::inference);
  require_alike(run, data->store->reference(), data->dataset.root.string());
  const std::vector<int64_t> samples = data->readable(all_samples(data->dataset));

  const EvaluationImages images{
      .store = *data->store,
      .samples = samples,
      .loader = evaluation_loader_options(options, device),
      .domains = number_keys(data->dataset, options.adaptation(), domains, samples)};
  EvaluatorOptions evaluator = evaluator_options(run, options, device);
  evaluator.ranks = settings.top;
  if (submission) {
    evaluator.each = [&](int64_t sample, std::span<const float> probabilities) {
      submission->add(data->dataset.samples[static_cast<size_t>(sample)], probabilities);
    };
  }
  Evaluated evaluated;
  {
    Progress progress("predicting", static_cast<int64_t>(samples.size()), "images");
    evaluated = run_model(*run.model, images, evaluator, &progress);
  }
  data->add_unreadable(evaluated.unreadable);
  const Predictions& predictions = evaluated.predictions;
  if (submission) write_text_file(settings.submission, submission->format(run.classes));
  write_text_file(settings.out, format_predictions(predictions, data->dataset, run.classes, settings.top));
  // Said aside where it would be one more row.
  std::FILE* const to = is_standard_output(settings.out) ? stderr : stdout;
  fmt::print(to, "{}: predictions of {} images\n", settings.out, predictions.samples.size());
}

}  // namespace

void add_predict(CLI::App& app) {
  auto settings = std::make_shared<PredictSettings>();
  CLI::App* command = app.add_subcommand("predict", "Classify images: files, folders or datasets");
  command->option_defaults()->always_capture_default();
  take_path(command->add_option("--model", settings->model, "Run folder, or one of its .safetensors files"),
            "RUN")
      ->required();
  take_path(command->add_option("--out", settings->out,
                                "CSV to write: image,label,probability,label_2,probability_2,..."),
            "FILE")
      ->required();
  take_path(command->add_option("INPUT", settings->inputs, "Image files, folders of images, datasets"), "...")
      ->required()
      ->take_all()
      ->default_str("");
  add_where(*command, settings->where);
  take_whole(command->add_option("--top", settings->top, "Classes a row"), 1, 100000);
  take_path(
      command->add_option("--submission", settings->submission,
                          "Also write Kaggle's id_code,sirna for the wells of test.csv, sites averaged"),
      "FILE");
  add_inference_options(*command, settings->inference);
  command->footer("Example: cytograd predict --model run --out predictions.csv new_plates");
  command->callback([settings] { predict(*settings); });
}

}  // namespace cytograd
