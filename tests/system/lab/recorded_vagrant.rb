# Loads a Vagrantfile with a Vagrant that records what it is told, and prints that as JSON.
# Arguments: the Vagrantfile.

require "json"

# Whatever is asked of it: a setting or a call is kept, under its name.
class Recorder
  attr_reader :kept, :calls

  def initialize
    @kept = {}
    @calls = []
  end

  def id
    "ID"
  end

  def method_missing(name, *arguments, **options, &block)
    text = name.to_s
    if text.end_with?("=")
      @kept[text.chomp("=")] = arguments.first
    elsif arguments.empty? && options.empty? && block.nil?
      @kept[text] ||= Recorder.new
    else
      inner = nil
      if block
        inner = Recorder.new
        block.call(inner)
      end
      @calls << [text, arguments, options, inner]
      inner
    end
  end

  def respond_to_missing?(*)
    true
  end

  def to_h
    {
      "settings" => @kept.transform_values { |each| each.is_a?(Recorder) ? each.to_h : each },
      "calls" => @calls.map do |name, arguments, options, inner|
        { "name" => name, "arguments" => arguments, "options" => options, "inner" => inner&.to_h }
      end,
    }
  end
end

module Vagrant
  def self.configure(version)
    config = Recorder.new
    yield config
    puts JSON.generate({ "version" => version, "config" => config.to_h })
  end
end

load ARGV.fetch(0)
